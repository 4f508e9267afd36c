"""What a model takes and gives, in OpenAPI's words."""
