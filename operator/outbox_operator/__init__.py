"""The operator: turns Publishers and Subscriptions into Deployments that run a Django application's workers.

Start reading at `main`. Layers, enforced by import-linter: main > handlers | resync | server > reconcile >
observe | apply | events > plan | status > build | diff > api.
"""
