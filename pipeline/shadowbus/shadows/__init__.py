"""How a shadow model is packed (bundles) and how each kind is loaded and asked (adapters)."""
