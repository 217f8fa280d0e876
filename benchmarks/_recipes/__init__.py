"""What benchmarks/recipes.py is made of: data sets, networks, the search, the page."""
