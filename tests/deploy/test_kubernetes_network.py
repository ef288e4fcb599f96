"""Who may reach whom in the cluster, by the network policies taken together."""

import pytest

PODS = {
    "sharer": ("kvwire", {"app.kubernetes.io/name": "kvwire", "app.kubernetes.io/component": "sharer"}),
    "receiver": ("kvwire", {"app.kubernetes.io/name": "kvwire", "app.kubernetes.io/component": "receiver"}),
    "client": ("elsewhere", {"kvwire-client": "true"}),
    "client here": ("kvwire", {"kvwire-client": "true"}),
    "prometheus": ("monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "a false prometheus": ("elsewhere", {"app.kubernetes.io/name": "prometheus"}),
    "anybody": ("elsewhere", {}),
    "dns": ("kube-system", {"k8s-app": "kube-dns"}),
}
ALLOWED = {
    ("receiver", "sharer", "grpc"),
    ("client", "receiver", "grpc"),
    ("client here", "receiver", "grpc"),
    ("prometheus", "sharer", "metrics"),
    ("prometheus", "receiver", "metrics"),
}
NUMBERS = {"grpc": {50051, 50052}}


def takes(selector, labels):
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer, pod):
    """Whether a rule's peer is this pod; without a selector of namespaces it is of kvwire's own."""
    namespace, labels = PODS[pod]
    spaces = peer.get("namespaceSelector")
    here = namespace == "kvwire" if spaces is None else takes(spaces, {"kubernetes.io/metadata.name": namespace})
    return here and takes(peer.get("podSelector", {}), labels)


def lets(policies, direction, pod, other, port):
    """Whether policies let a pod of the namespace have a connection, in or out, to a port."""
    chosen = [each for each in policies if takes(each["podSelector"], PODS[pod][1])]
    assert any(direction.capitalize() in each["policyTypes"] for each in chosen), "unselected pods are open"
    rules = [rule for each in chosen for rule in each.get(direction, [])]
    peers = "from" if direction == "ingress" else "to"
    return any(
        {found["port"] for found in rule["ports"]} & {port, *NUMBERS.get(port, ())}
        and any(is_peer(peer, other) for peer in rule.get(peers, [{"namespaceSelector": {}}]))
        for rule in rules
    )


@pytest.fixture(scope="module")
def policies(build):
    """What the base brings."""
    return [each["spec"] for each in build("base").of_kind("NetworkPolicy").values()]


@pytest.mark.parametrize("port", ["grpc", "metrics"])
@pytest.mark.parametrize("into", ["sharer", "receiver"])
@pytest.mark.parametrize("of", PODS)
def test_only_who_is_listed_reaches_a_service(policies, of, into, port):
    """Everybody else is refused, also from within the namespace."""
    assert lets(policies, "ingress", into, of, port) == ((of, into, port) in ALLOWED)


@pytest.mark.parametrize("to", PODS)
@pytest.mark.parametrize("pod", ["sharer", "receiver"])
def test_services_call_nobody_but_whom_they_need(policies, pod, to):
    """Receivers ask sharers; both ask DNS."""
    assert lets(policies, "egress", pod, to, "grpc") == ((pod, to) == ("receiver", "sharer"))
    assert lets(policies, "egress", pod, to, 53) == (to == "dns")


def test_models_are_pulled_over_https_alone(policies):
    """To anywhere, for nobody knows the address of a package index."""
    assert lets(policies, "egress", "sharer", "anybody", 443)
    assert not lets(policies, "egress", "sharer", "anybody", 80)
