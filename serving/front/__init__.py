"""A worker's doors: HTTP, gRPC, pages, limits, what is counted and logged."""
