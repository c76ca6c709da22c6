"""The days in a store, as the dashboard shows them."""
