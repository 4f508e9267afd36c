"""What is served: a version's two files, loaded, guarded, asked; knows no requests and no registry."""
