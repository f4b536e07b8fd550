"""What the chart holds that is made from other files: its copy of the CRDs and the table of its values."""
