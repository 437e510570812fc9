"""What Headgate does. Knows no screen: pages and the command line call in, nothing here calls out to them."""
