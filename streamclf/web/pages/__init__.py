"""The pages: one module each, whose `add_routes` adds it to the application."""
