"""The demonstration: a small service that reads handwritten digits, and four shadows that want its place."""
