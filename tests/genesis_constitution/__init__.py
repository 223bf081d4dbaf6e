"""Changes of this software: what is made of them, judged, approved and ordered."""
