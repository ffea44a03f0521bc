"""The HTTP server: FastAPI over one engine. Needs the extra ``server``."""
