"""The fault ledger: numbered messages through real processes while everything round them breaks."""
