"""Models: what a bundle is, how it is made and read, and which adapter loads which kind."""
