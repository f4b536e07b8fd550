"""An upgrade of the operator replaces no worker by surprise: pod templates are pinned by their digests.

When this test fails, every worker of such a resource would be replaced on the upgrade. If that is wanted, say so in the
CHANGELOG under "Upgrade notes" and run `UPDATE_GOLDEN=1 pytest tests/unit/operator/test_upgrade.py`.
"""

from __future__ import annotations

from typing import Any

from outbox_operator.build.hashes import spec_digest
from outbox_operator.build.references import ConfigName
from outbox_operator.plan import Observed, plan
from tests.unit.operator.golden_files import assert_golden
from tests.unit.operator.objects import following, publisher, subscription, workload

ENV = {"envFrom": [{"secretRef": {"name": "env"}}]}
RESOURCES: dict[str, Any] = {
    "a Publisher": publisher(),
    "a Publisher with everything of a container": publisher(
        command=["python3", "manage.py"],
        extraArgs=["--verbosity=2"],
        settingsModule="shop.settings",
        env=[{"name": "A", "value": "1"}],
        resources={"requests": {"cpu": "100m"}},
        serviceAccountName="shop",
        imagePullPolicy="Always",
        imagePullSecrets=[{"name": "registry"}],
        metrics={"port": 9100},
        batchSize=50,
        database="other",
        **ENV,
    ),
    "a Publisher that follows": following(),
    "a Subscription": subscription(),
    "an ordered Subscription": subscription(ordering="Ordered"),
    "a Subscription with a consumer and a template": subscription(
        consumer={"prefetch": 5, "concurrency": 2}, template={"spec": {"nodeSelector": {"disk": "ssd"}}}
    ),
}


def test_pod_templates_are_those_of_the_last_version() -> None:
    observed = Observed(workload=workload(), config={ConfigName("Secret", "env"): {"TOKEN": "1"}})
    digests = {}
    for name, resource in RESOURCES.items():
        deployment = plan(resource, observed).deployment
        assert deployment is not None, name
        digests[name] = spec_digest(deployment["spec"]["template"])
    assert_golden("pod_template_digests", digests)
