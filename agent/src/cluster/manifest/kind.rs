//! What an object says it is, and what that means here.

use serde::Deserialize;

/// What every Kubernetes object starts with.
#[derive(Deserialize)]
pub(super) struct Header {
    #[serde(rename = "apiVersion", default)]
    pub(super) api_version: String,
    #[serde(default)]
    pub(super) kind: String,
}

/// The kinds, by what they mean here.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Service,
    Pod,
    EndpointSlice,
    /// Many objects; of this apiVersion and kind where they do not say their own.
    List(Option<(&'static str, &'static str)>),
    /// Kubernetes' own, and makes no endpoints. StatefulSets and Deployments do not make pods: Pods do.
    Useless,
    /// Another program's, or misspelt.
    Unknown,
}

/// The kinds of `v1` that make no endpoints of DNS names. Of Endpoints the control plane makes EndpointSlices, and
/// these count.
const USELESS: [&str; 15] = [
    "Binding",
    "ComponentStatus",
    "ConfigMap",
    "Endpoints",
    "Event",
    "LimitRange",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodTemplate",
    "ReplicationController",
    "ResourceQuota",
    "Secret",
    "ServiceAccount",
];

impl Kind {
    pub(super) fn of(header: &Header) -> Result<Self, String> {
        Ok(match (header.api_version.as_str(), header.kind.as_str()) {
            ("", _) => return Err("apiVersion is missing; a manifest starts with apiVersion and kind".into()),
            (_, "") => return Err("kind is missing; a manifest starts with apiVersion and kind".into()),
            ("v1", "Service") => Self::Service,
            ("v1", "Pod") => Self::Pod,
            ("discovery.k8s.io/v1", "EndpointSlice") => Self::EndpointSlice,
            ("v1", "List") => Self::List(None),
            ("v1", "ServiceList") => Self::List(Some(("v1", "Service"))),
            ("v1", "PodList") => Self::List(Some(("v1", "Pod"))),
            ("discovery.k8s.io/v1", "EndpointSliceList") => {
                Self::List(Some(("discovery.k8s.io/v1", "EndpointSlice")))
            }
            (api_version, kind) if is_useless(api_version, kind) => Self::Useless,
            _ => Self::Unknown,
        })
    }
}

/// Whether this is one of Kubernetes' own kinds that make no endpoints. Outside of `v1` and the slices' group its
/// group tells. Of a kind that is taken it is the apiVersion that is wrong.
fn is_useless(api_version: &str, kind: &str) -> bool {
    let kind = kind.strip_suffix("List").unwrap_or(kind);
    if matches!(kind, "Service" | "Pod" | "EndpointSlice") {
        return false;
    }
    match api_version.split_once('/') {
        None => api_version == "v1" && USELESS.contains(&kind),
        Some(("apps" | "autoscaling" | "batch" | "policy", _)) => true,
        Some((group, _)) => group.ends_with(".k8s.io") && group != "discovery.k8s.io",
    }
}

impl Header {
    pub(super) fn skip(&self) {
        tracing::debug!(api_version = self.api_version, kind = self.kind, "skipped: makes no endpoints");
    }

    /// What to say of an object of an unknown kind.
    pub(super) fn unknown(&self) -> String {
        format!(
            "unknown kind `{}` of `{}`: Service and Pod of `v1` and EndpointSlice of `discovery.k8s.io/v1` are taken, \
             and lists of them; mend the kind or the apiVersion if it is meant to be one of these",
            self.kind, self.api_version
        )
    }
}
