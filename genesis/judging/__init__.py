"""The rooms of the judge: scenes and gates, the bench that tries them, measures, evidence."""
