"""What making and reading datasets costs, and what there is in them."""
