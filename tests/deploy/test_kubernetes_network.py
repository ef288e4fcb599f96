"""Who may reach whom in the cluster, by the network policies taken together."""

import pytest

KVWIRE = {"app.kubernetes.io/name": "kvwire"}
PODS = {
    "sharer": ("kvwire", {**KVWIRE, "app.kubernetes.io/component": "sharer"}),
    "receiver": ("kvwire", {**KVWIRE, "app.kubernetes.io/component": "receiver"}),
    "http": ("kvwire", {**KVWIRE, "app.kubernetes.io/component": "http", "kvwire-client": "true"}),
    "http client": ("elsewhere", {"kvwire-http-client": "true"}),
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
    ("http", "receiver", "grpc"),
    ("http client", "http", "http"),
    ("prometheus", "http", "metrics"),
    ("prometheus", "sharer", "metrics"),
    ("prometheus", "receiver", "metrics"),
}
NUMBERS = {"grpc": {50051, 50052}}
EGRESS = {("receiver", "sharer"), ("http", "receiver")}


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
    """What the base and the front doors bring."""
    return [each["spec"] for each in build("base", "http").of_kind("NetworkPolicy").values()]


@pytest.mark.parametrize("port", ["grpc", "http", "metrics"])
@pytest.mark.parametrize("into", ["sharer", "receiver", "http"])
@pytest.mark.parametrize("of", PODS)
def test_only_who_is_listed_reaches_a_service(policies, of, into, port):
    """Everybody else is refused, also from within the namespace."""
    assert lets(policies, "ingress", into, of, port) == ((of, into, port) in ALLOWED)


@pytest.mark.parametrize("to", PODS)
@pytest.mark.parametrize("pod", ["sharer", "receiver", "http"])
def test_services_call_nobody_but_whom_they_need(policies, pod, to):
    """Front doors ask receivers, receivers ask sharers; all ask DNS."""
    assert lets(policies, "egress", pod, to, "grpc") == ((pod, to) in EGRESS)
    assert lets(policies, "egress", pod, to, 53) == (to == "dns")


def test_models_are_pulled_over_https_alone(policies):
    """To anywhere, for nobody knows the address of a package index."""
    assert lets(policies, "egress", "sharer", "anybody", 443)
    assert not lets(policies, "egress", "sharer", "anybody", 80)
