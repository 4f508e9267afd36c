"""What stands around rows and predictions: each protocol's request and answer."""
