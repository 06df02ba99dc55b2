"""What is known of timm: its models built and taken apart. Imports spec."""
