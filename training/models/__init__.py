"""What can be fitted: the families, their settings, and how a pipeline is fitted with weights."""
