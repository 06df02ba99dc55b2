"""What layer decay is made of: depths of parameters, and groups of equal rate."""
