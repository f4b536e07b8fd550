"""The operator: turns Publishers and Subscriptions into Deployments that run a Django application's workers.

Start reading at `main`, then `reconcile`. The layers are enforced by import-linter (pyproject.toml):
main > handlers | resync | server | leader > deliveries | reconcile | workqueue > events > observe | apply > kube >
status > plan | diagnosis > diff > build > api. From `status` down nothing knows kopf, a client or asyncio: those
modules decide, the others act.
"""
