"""The story of the trials as one file: frozen, with its evidence, for a browser, a printer or a pull request."""
