//! Kubernetes types into objects of the zone: stripped, and only what Kubernetes itself would have taken.
//!
//! An object comes through whole or not at all; a reason names the field at fault and says what belongs there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::zone::{
    AddressType, ContainerPort, Endpoint, EndpointPort, EndpointSlice, Families, Labels, Pod, Protocol,
    Service, ServicePort, TargetPort, dashed,
};

/// Why an object is refused: the field, and what is wrong with it.
type Reason = String;

/// Label of a slice that says whose it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A Service. Its name may start with a digit, as Kubernetes 1.36 allows.
pub(super) fn service(service: core::Service) -> Result<Service, Reason> {
    let namespace = namespace(&service.metadata)?;
    let name = label("metadata.name", name(&service.metadata)?)?;
    let spec = service.spec.unwrap_or_default();
    // CoreDNS goes by the first of clusterIPs where there is one.
    let cluster_ip = spec.cluster_ips.as_deref().and_then(<[_]>::first).or(spec.cluster_ip.as_ref());
    let external = spec.type_.as_deref() == Some("ExternalName");
    let ports = spec.ports.unwrap_or_default();
    Ok(Service {
        namespace,
        name,
        headless: !external && cluster_ip.is_some_and(|address| address == "None"),
        selector: labels("spec.selector", spec.selector)?,
        publish_not_ready_addresses: spec.publish_not_ready_addresses.unwrap_or(false),
        families: families(&spec.ip_families.unwrap_or_default())?,
        ports: ports
            .iter()
            .enumerate()
            .map(|(at, port)| service_port(&format!("spec.ports[{at}]"), port))
            .collect::<Result<_, _>>()?,
    })
}

fn families(names: &[String]) -> Result<Families, Reason> {
    let mut families = Families { v4: false, v6: false };
    for (at, name) in names.iter().enumerate() {
        match name.as_str() {
            "IPv4" => families.v4 = true,
            "IPv6" => families.v6 = true,
            _ => return Err(format!("spec.ipFamilies[{at}]: {name:?} is no family; write IPv4 or IPv6")),
        }
    }
    Ok(if names.is_empty() { Families::BOTH } else { families })
}

fn service_port(field: &str, port: &core::ServicePort) -> Result<ServicePort, Reason> {
    let number = port_number(&format!("{field}.port"), port.port)?;
    let target = match &port.target_port {
        None | Some(IntOrString::Int(0)) => TargetPort::Number(number),
        Some(IntOrString::Int(target)) => {
            TargetPort::Number(port_number(&format!("{field}.targetPort"), *target)?)
        }
        Some(IntOrString::String(name)) if name.is_empty() => TargetPort::Number(number),
        Some(IntOrString::String(name)) => TargetPort::Name(name.as_str().into()),
    };
    Ok(ServicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: protocol(&format!("{field}.protocol"), port.protocol.as_deref())?,
        number,
        target,
    })
}

/// An EndpointSlice.
pub(super) fn endpoint_slice(slice: discovery::EndpointSlice) -> Result<EndpointSlice, Reason> {
    let namespace = namespace(&slice.metadata)?;
    let name = subdomain("metadata.name", name(&slice.metadata)?)?;
    let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
    let service = match service.filter(|service| !service.is_empty()) {
        Some(service) => Some(label(&format!("metadata.labels[{SERVICE_NAME}]"), service)?),
        None => None,
    };
    let address_type = match slice.address_type.as_str() {
        "IPv4" | "IPv6" => AddressType::Ip,
        "FQDN" => AddressType::Fqdn,
        other => return Err(format!("addressType: {other:?} is none; write IPv4, IPv6 or FQDN")),
    };
    let given = slice.endpoints.unwrap_or_default();
    let mut endpoints = Vec::with_capacity(given.len());
    if address_type == AddressType::Ip {
        for (at, endpoint) in given.iter().enumerate() {
            endpoint_addresses(&format!("endpoints[{at}]"), endpoint, &slice.address_type, &mut endpoints)?;
        }
    }
    let ports = slice.ports.unwrap_or_default();
    let ports = ports.iter().enumerate().map(|(at, port)| endpoint_port(&format!("ports[{at}]"), port));
    Ok(EndpointSlice {
        namespace,
        name,
        service,
        address_type,
        endpoints: endpoints.into(),
        ports: ports.collect::<Result<_, _>>()?,
    })
}

fn endpoint_addresses(
    field: &str,
    endpoint: &discovery::Endpoint,
    family: &str,
    endpoints: &mut Vec<Endpoint>,
) -> Result<(), Reason> {
    let hostname = match endpoint.hostname.as_deref().filter(|hostname| !hostname.is_empty()) {
        Some(hostname) => Some(label(&format!("{field}.hostname"), hostname)?),
        None => None,
    };
    let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
    for (at, text) in endpoint.addresses.iter().enumerate() {
        let field = format!("{field}.addresses[{at}]");
        let address = address(&field, text)?;
        if address.is_ipv4() != (family == "IPv4") {
            return Err(format!(
                "{field}: {text} is no {family} address, which the slice's addressType asks for"
            ));
        }
        // CoreDNS puts dashes into the address as it is written, be it the usual way or not.
        let unusual = !text.eq_ignore_ascii_case(&address.to_string());
        let hostname = hostname.clone().or_else(|| unusual.then(|| dashed(text).into()));
        endpoints.push(Endpoint { address, hostname, ready });
    }
    Ok(())
}

fn endpoint_port(field: &str, port: &discovery::EndpointPort) -> Result<EndpointPort, Reason> {
    let number = match port.port {
        Some(number) => Some(port_number(&format!("{field}.port"), number)?),
        None => None,
    };
    Ok(EndpointPort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: protocol(&format!("{field}.protocol"), port.protocol.as_deref())?,
        number,
    })
}

/// A Pod.
pub(super) fn pod(pod: core::Pod) -> Result<Pod, Reason> {
    let namespace = namespace(&pod.metadata)?;
    let name = subdomain("metadata.name", name(&pod.metadata)?)?;
    let spec = pod.spec.unwrap_or_default();
    let status = pod.status.unwrap_or_default();
    let is_ready = |condition: &core::PodCondition| condition.type_ == "Ready" && condition.status == "True";
    Ok(Pod {
        namespace,
        name,
        labels: labels("metadata.labels", pod.metadata.labels)?,
        addresses: pod_addresses(&status)?,
        ready: status.conditions.iter().flatten().any(is_ready),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        hostname: optional_label("spec.hostname", spec.hostname.as_deref())?,
        subdomain: optional_label("spec.subdomain", spec.subdomain.as_deref())?,
        ports: container_ports(&spec)?,
    })
}

fn pod_addresses(status: &core::PodStatus) -> Result<Box<[IpAddr]>, Reason> {
    let several = status.pod_ips.as_deref().unwrap_or_default();
    let one = status.pod_ip.as_deref().filter(|ip| several.is_empty() && !ip.is_empty());
    let several =
        several.iter().enumerate().map(|(at, ip)| (format!("status.podIPs[{at}].ip"), ip.ip.as_str()));
    let one = one.map(|ip| ("status.podIP".to_owned(), ip));
    several.chain(one).map(|(field, ip)| address(&field, ip)).collect()
}

/// Named ports of the containers, then of the sidecars: init containers that keep running.
fn container_ports(spec: &core::PodSpec) -> Result<Box<[ContainerPort]>, Reason> {
    let containers = spec.containers.iter().map(|container| ("containers", container));
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let mut ports = Vec::new();
    for (kind, container) in containers.chain(sidecars.map(|container| ("initContainers", container))) {
        for port in container.ports.iter().flatten() {
            let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) else { continue };
            let field = format!("spec.{kind}[{}].ports[{name}]", container.name);
            ports.push(ContainerPort {
                name: name.into(),
                protocol: protocol(&format!("{field}.protocol"), port.protocol.as_deref())?,
                number: port_number(&format!("{field}.containerPort"), port.container_port)?,
            });
        }
    }
    Ok(ports.into())
}

fn name(metadata: &ObjectMeta) -> Result<&str, Reason> {
    let name = metadata.name.as_deref().filter(|name| !name.is_empty());
    name.ok_or_else(|| "metadata.name: is missing; give the object a name".into())
}

fn namespace(metadata: &ObjectMeta) -> Result<Box<str>, Reason> {
    let namespace = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    label("metadata.namespace", namespace.unwrap_or("default"))
}

fn optional_label(field: &str, text: Option<&str>) -> Result<Option<Box<str>>, Reason> {
    text.filter(|text| !text.is_empty()).map(|text| label(field, text)).transpose()
}

/// An RFC 1123 label.
fn label(field: &str, text: &str) -> Result<Box<str>, Reason> {
    if is_label(text) {
        return Ok(text.into());
    }
    Err(format!(
        "{field}: {text:?} is no DNS label; use lower-case letters, digits and `-`, a letter or digit at both \
         ends, at most 63 characters"
    ))
}

/// Labels with dots between: the names of Pods and slices.
fn subdomain(field: &str, text: &str) -> Result<Box<str>, Reason> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.into());
    }
    Err(format!(
        "{field}: {text:?} is no DNS subdomain; use lower-case letters, digits, `-` and `.`, a letter or digit at \
         both ends, at most 253 characters"
    ))
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn labels(field: &str, pairs: Option<BTreeMap<String, String>>) -> Result<Labels, Reason> {
    let pairs = pairs.unwrap_or_default();
    if let Some(key) = pairs.keys().find(|key| key.is_empty() || key.contains('=')) {
        return Err(format!("{field}: {key:?} is no label key; it must not be empty nor hold `=`"));
    }
    Ok(pairs.into_iter().collect())
}

fn address(field: &str, text: &str) -> Result<IpAddr, Reason> {
    match text.parse() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Err(format!("{field}: {text:?} is IPv4 written as IPv6; write the IPv4 address"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(format!("{field}: {text:?} is no IP address")),
    }
}

fn port_number(field: &str, number: i32) -> Result<u16, Reason> {
    match u16::try_from(number) {
        Ok(number @ 1..) => Ok(number),
        _ => Err(format!("{field}: {number} is no port; ports go from 1 to 65535")),
    }
}

fn protocol(field: &str, name: Option<&str>) -> Result<Protocol, Reason> {
    match name.unwrap_or("TCP") {
        "TCP" | "" => Ok(Protocol::Tcp),
        "UDP" => Ok(Protocol::Udp),
        "SCTP" => Ok(Protocol::Sctp),
        other => Err(format!("{field}: {other:?} is no protocol; write TCP, UDP or SCTP")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn service_without_a_cluster_ip_is_headless() {
        for (spec, headless) in [
            (json!({"clusterIP": "None"}), true),
            (json!({"clusterIPs": ["None"]}), true),
            (json!({"clusterIP": "None", "clusterIPs": ["None"]}), true),
            (json!({"clusterIP": "None", "type": "ExternalName", "externalName": "a.example"}), false),
            (json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00::1"]}), false),
            (json!({"clusterIP": ""}), false),
            (json!({"clusterIPs": []}), false),
            (json!({}), false),
        ] {
            assert_eq!(of_service(&spec).expect("a Service").headless, headless, "{spec}");
        }
    }

    #[test]
    fn namespace_is_default_where_none_is_given() {
        let pod =
            |metadata: Value| pod(serde_json::from_value(json!({"metadata": metadata})).expect("a Pod"));
        assert_eq!(&*pod(json!({"name": "a"})).expect("a Pod").namespace, "default");
        assert_eq!(&*pod(json!({"name": "a", "namespace": "b"})).expect("a Pod").namespace, "b");
    }

    #[test]
    fn families_are_both_where_none_is_given() {
        let families = |spec: Value| of_service(&spec).expect("a Service").families;
        assert_eq!(families(json!({})), Families::BOTH);
        assert_eq!(families(json!({"ipFamilies": ["IPv6"]})), Families { v4: false, v6: true });
        assert_eq!(families(json!({"ipFamilies": ["IPv6", "IPv4"]})), Families::BOTH);
    }

    #[test]
    fn target_port_is_the_port_where_none_is_given() {
        let target =
            |port: Value| of_service(&json!({"ports": [port]})).expect("a Service").ports[0].target.clone();
        assert_eq!(target(json!({"port": 80})), TargetPort::Number(80));
        assert_eq!(target(json!({"port": 80, "targetPort": 0})), TargetPort::Number(80));
        assert_eq!(target(json!({"port": 80, "targetPort": ""})), TargetPort::Number(80));
        assert_eq!(target(json!({"port": 80, "targetPort": 8080})), TargetPort::Number(8080));
        assert_eq!(target(json!({"port": 80, "targetPort": "http"})), TargetPort::Name("http".into()));
    }

    #[test]
    fn ready_absent_counts_as_ready_in_a_slice() {
        for (conditions, ready) in [
            (json!({}), true),
            (json!(null), true),
            (json!({"ready": true}), true),
            (json!({"ready": false, "serving": true}), false),
        ] {
            let slice =
                of_slice(&json!({"addresses": ["10.0.0.1"], "conditions": conditions})).expect("a slice");
            assert_eq!(slice.endpoints[0].ready, ready, "{conditions}");
        }
    }

    #[test]
    fn every_address_of_an_endpoint_is_one() {
        let slice =
            of_slice(&json!({"addresses": ["10.0.0.1", "10.0.0.2"], "hostname": "a"})).expect("a slice");
        let hostnames: Vec<_> = slice.endpoints.iter().map(|endpoint| endpoint.hostname.as_deref()).collect();
        assert_eq!(hostnames, [Some("a"), Some("a")]);
    }

    #[test]
    fn address_that_is_written_unusually_has_the_name_that_it_spells() {
        let hostname = |address: &str| {
            let slice = json!({"metadata": {"name": "a"}, "addressType": "IPv6", "endpoints": [{"addresses": [address]}]});
            let slice = endpoint_slice(serde_json::from_value(slice).expect("a slice")).expect("a slice");
            slice.endpoints[0].hostname.clone()
        };
        assert_eq!(hostname("fd00::1"), None);
        assert_eq!(hostname("FD00::1"), None, "letter case makes no other name");
        assert_eq!(hostname("fd00:0::1").as_deref(), Some("fd00-0--1"));
    }

    #[test]
    fn slice_of_domain_names_is_kept_without_them() {
        let slice = json!({"metadata": {"name": "a", "labels": {(SERVICE_NAME): "web"}}, "addressType": "FQDN",
                           "endpoints": [{"addresses": ["a.example"]}]});
        let slice = endpoint_slice(serde_json::from_value(slice).expect("a slice")).expect("a slice");
        assert_eq!((slice.address_type, slice.endpoints.len()), (AddressType::Fqdn, 0));
        assert_eq!(slice.service.as_deref(), Some("web"));
    }

    #[test]
    fn pod_is_ready_by_its_condition_and_ended_by_its_phase() {
        let state = |status: Value| {
            let pod = of_pod(&json!({}), &status).expect("a Pod");
            (pod.ready, pod.ended)
        };
        let ready = json!([{"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "True"}]);
        assert_eq!(state(json!({"conditions": ready, "phase": "Running"})), (true, false));
        assert_eq!(state(json!({"conditions": [{"type": "Ready", "status": "Unknown"}]})), (false, false));
        assert_eq!(state(json!({"phase": "Running"})), (false, false));
        assert_eq!(state(json!({"phase": "Failed"})), (false, true));
        assert_eq!(state(json!({"conditions": ready, "phase": "Succeeded"})), (true, true));
    }

    #[test]
    fn pod_with_a_deletion_timestamp_is_terminating() {
        let metadata = json!({"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let pod = pod(serde_json::from_value(json!({"metadata": metadata})).expect("a Pod"));
        assert!(pod.expect("a Pod").terminating);
    }

    #[test]
    fn pod_ip_counts_only_without_pod_ips() {
        let addresses = |status: Value| {
            let pod = of_pod(&json!({}), &status).expect("a Pod");
            pod.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(addresses(json!({"podIP": "10.0.0.1"})), ["10.0.0.1"]);
        let both = json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]});
        assert_eq!(addresses(both), ["10.0.0.2", "fd00::2"]);
        assert_eq!(addresses(json!({"podIP": ""})), [""; 0]);
    }

    #[test]
    fn named_ports_are_those_of_containers_then_sidecars() {
        let port =
            |name: &str, number: u16| json!([{"name": name, "containerPort": number}, {"containerPort": 1}]);
        let spec = json!({
            "containers": [{"name": "main", "ports": port("http", 80)}],
            "initContainers": [
                {"name": "setup", "ports": port("setup", 81)},
                {"name": "proxy", "restartPolicy": "Always", "ports": port("proxy", 82)},
            ],
        });
        let pod = of_pod(&spec, &json!({})).expect("a Pod");
        let names: Vec<_> = pod.ports.iter().map(|port| (&*port.name, port.number)).collect();
        assert_eq!(names, [("http", 80), ("proxy", 82)]);
    }

    #[test]
    fn what_kubernetes_refuses_is_refused_by_its_field() {
        let long = "a".repeat(64);
        for (refused, start) in [
            (of_service(&json!({"ports": [{"port": 0}]})).map(drop), "spec.ports[0].port: 0 is no port"),
            (
                of_service(&json!({"ports": [{"port": 1, "protocol": "ICMP"}]})).map(drop),
                "spec.ports[0].protocol: ",
            ),
            (
                of_service(&json!({"ipFamilies": ["IPv5"]})).map(drop),
                "spec.ipFamilies[0]: \"IPv5\" is no family",
            ),
            (
                of_service(&json!({"selector": {"a=b": "c"}})).map(drop),
                "spec.selector: \"a=b\" is no label key",
            ),
            (
                of_slice(&json!({"addresses": ["10.0.0.256"]})).map(drop),
                "endpoints[0].addresses[0]: \"10.0.0.256\" is no IP",
            ),
            (of_slice(&json!({"addresses": ["010.0.0.1"]})).map(drop), "endpoints[0].addresses[0]: "),
            (
                of_slice(&json!({"addresses": ["fd00::1"]})).map(drop),
                "endpoints[0].addresses[0]: fd00::1 is no IPv4",
            ),
            (
                of_slice(&json!({"addresses": ["::ffff:10.0.0.1"]})).map(drop),
                "endpoints[0].addresses[0]: \"::ffff:",
            ),
            (
                of_slice(&json!({"addresses": [], "hostname": "a.b"})).map(drop),
                "endpoints[0].hostname: \"a.b\" is no DNS",
            ),
            (
                of_pod(&json!({"hostname": "-a", "containers": []}), &json!({})).map(drop),
                "spec.hostname: \"-a\" is no DNS",
            ),
            (of_pod(&json!({"subdomain": long, "containers": []}), &json!({})).map(drop), "spec.subdomain: "),
            (
                of_pod(&json!({}), &json!({"podIPs": [{"ip": "x"}]})).map(drop),
                "status.podIPs[0].ip: \"x\" is no IP address",
            ),
            (service(core::Service::default()).map(drop), "metadata.name: is missing"),
        ] {
            let reason = refused.expect_err(start);
            assert!(reason.starts_with(start), "{reason}");
        }
    }

    #[test]
    fn names_are_labels_or_subdomains() {
        for (text, is) in [
            ("a", true),
            ("0-a", true),
            ("", false),
            ("a-", false),
            ("A", false),
            ("a.b", false),
            ("a_b", false),
        ] {
            assert_eq!(label("x", text).is_ok(), is, "{text:?}");
        }
        for (text, is) in [("a.b-c.d", true), ("a..b", false), ("a.-b", false), (".a", false)] {
            assert_eq!(subdomain("x", text).is_ok(), is, "{text:?}");
        }
        assert!(label("x", &"a".repeat(63)).is_ok() && label("x", &"a".repeat(64)).is_err());
        assert!(
            subdomain("x", &["a"; 127].join(".")).is_ok() && subdomain("x", &["a"; 128].join(".")).is_err()
        );
    }

    fn of_service(spec: &Value) -> Result<Service, Reason> {
        service(serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).expect("a Service"))
    }

    fn of_slice(endpoint: &Value) -> Result<EndpointSlice, Reason> {
        let slice = json!({"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [endpoint]});
        endpoint_slice(serde_json::from_value(slice).expect("a slice"))
    }

    fn of_pod(spec: &Value, status: &Value) -> Result<Pod, Reason> {
        pod(serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec, "status": status}))
            .expect("a Pod"))
    }
}
