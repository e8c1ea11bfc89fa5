"""Models of scikit-learn, and everything that behaves like them."""
