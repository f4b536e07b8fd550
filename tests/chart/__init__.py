"""The chart, rendered by Helm and checked: no cluster needed."""
