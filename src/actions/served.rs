//! How the API serves kinds of objects: by which names, and whether in namespaces.

use super::kube_object::Of;
use crate::fault::{Fault, nearest};

/// How the API serves a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
}

/// The kinds of Kubernetes itself, and those of Calico that steps read: by group, those in namespaces
/// and those in none, each with its plural. All versions of a group serve a kind alike.
const BUILT_IN: &[(&str, Kinds, Kinds)] = &[
    (
        "",
        &[
            ("Binding", "bindings"),
            ("ConfigMap", "configmaps"),
            ("Endpoints", "endpoints"),
            ("Event", "events"),
            // A part of a pod that is made to evict it.
            ("Eviction", "pods/eviction"),
            ("LimitRange", "limitranges"),
            ("PersistentVolumeClaim", "persistentvolumeclaims"),
            ("Pod", "pods"),
            ("PodTemplate", "podtemplates"),
            ("ReplicationController", "replicationcontrollers"),
            ("ResourceQuota", "resourcequotas"),
            ("Secret", "secrets"),
            ("Service", "services"),
            ("ServiceAccount", "serviceaccounts"),
        ],
        &[
            ("ComponentStatus", "componentstatuses"),
            ("Namespace", "namespaces"),
            ("Node", "nodes"),
            ("PersistentVolume", "persistentvolumes"),
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[],
        &[
            (
                "MutatingWebhookConfiguration",
                "mutatingwebhookconfigurations",
            ),
            ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
            (
                "ValidatingAdmissionPolicyBinding",
                "validatingadmissionpolicybindings",
            ),
            (
                "ValidatingWebhookConfiguration",
                "validatingwebhookconfigurations",
            ),
        ],
    ),
    (
        "apiextensions.k8s.io",
        &[],
        &[("CustomResourceDefinition", "customresourcedefinitions")],
    ),
    (
        "apiregistration.k8s.io",
        &[],
        &[("APIService", "apiservices")],
    ),
    (
        "apps",
        &[
            ("ControllerRevision", "controllerrevisions"),
            ("DaemonSet", "daemonsets"),
            ("Deployment", "deployments"),
            ("ReplicaSet", "replicasets"),
            ("StatefulSet", "statefulsets"),
        ],
        &[],
    ),
    (
        "autoscaling",
        &[("HorizontalPodAutoscaler", "horizontalpodautoscalers")],
        &[],
    ),
    ("batch", &[("CronJob", "cronjobs"), ("Job", "jobs")], &[]),
    (
        "certificates.k8s.io",
        &[],
        &[("CertificateSigningRequest", "certificatesigningrequests")],
    ),
    ("coordination.k8s.io", &[("Lease", "leases")], &[]),
    (
        "crd.projectcalico.org",
        &[],
        &[
            ("BGPConfiguration", "bgpconfigurations"),
            ("BGPPeer", "bgppeers"),
            ("CalicoNodeStatus", "caliconodestatuses"),
            ("IPPool", "ippools"),
        ],
    ),
    (
        "discovery.k8s.io",
        &[("EndpointSlice", "endpointslices")],
        &[],
    ),
    ("events.k8s.io", &[("Event", "events")], &[]),
    (
        "flowcontrol.apiserver.k8s.io",
        &[],
        &[
            ("FlowSchema", "flowschemas"),
            ("PriorityLevelConfiguration", "prioritylevelconfigurations"),
        ],
    ),
    (
        "networking.k8s.io",
        &[
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
        ],
        &[
            ("IPAddress", "ipaddresses"),
            ("IngressClass", "ingressclasses"),
            ("ServiceCIDR", "servicecidrs"),
        ],
    ),
    ("node.k8s.io", &[], &[("RuntimeClass", "runtimeclasses")]),
    (
        "policy",
        &[("PodDisruptionBudget", "poddisruptionbudgets")],
        &[],
    ),
    (
        "rbac.authorization.k8s.io",
        &[("Role", "roles"), ("RoleBinding", "rolebindings")],
        &[
            ("ClusterRole", "clusterroles"),
            ("ClusterRoleBinding", "clusterrolebindings"),
        ],
    ),
    (
        "resource.k8s.io",
        &[
            ("ResourceClaim", "resourceclaims"),
            ("ResourceClaimTemplate", "resourceclaimtemplates"),
        ],
        &[
            ("DeviceClass", "deviceclasses"),
            ("ResourceSlice", "resourceslices"),
        ],
    ),
    (
        "scheduling.k8s.io",
        &[],
        &[("PriorityClass", "priorityclasses")],
    ),
    (
        "storage.k8s.io",
        &[("CSIStorageCapacity", "csistoragecapacities")],
        &[
            ("CSIDriver", "csidrivers"),
            ("CSINode", "csinodes"),
            ("StorageClass", "storageclasses"),
            ("VolumeAttachment", "volumeattachments"),
            ("VolumeAttributesClass", "volumeattributesclasses"),
        ],
    ),
];

/// Kinds, each with its plural.
type Kinds = &'static [(&'static str, &'static str)];

impl Served {
    /// Holds that an object names a namespace where its kind is in one, and only there.
    pub fn fits(&self, of: &Of) -> Result<(), Fault> {
        match (self.namespaced, &of.namespace) {
            (true, None) => Err(Fault::input(
                "namespace",
                format!("a {} is in a namespace: give `namespace`", of.kind),
            )),
            (false, Some(_)) => Err(Fault::input(
                "namespace",
                format!("a {} is in no namespace: leave `namespace` out", of.kind),
            )),
            _ => Ok(()),
        }
    }

    /// The one among `kinds` of which an object is.
    pub fn find<'k>(kinds: &'k [Self], of: &Of) -> Result<&'k Self, Fault> {
        let Some(served) = kinds.iter().find(|served| served.kind == of.kind) else {
            let fault = Fault::refused(
                "no_such_kind",
                format!(
                    "the API server serves no kind `{}` in `{}`",
                    of.kind, of.api_version
                ),
            );
            let names = kinds.iter().map(|served| served.kind.as_str());
            return Err(match nearest(&of.kind, names) {
                Some(near) => fault.next(format!("did you mean `{near}`?")),
                None => fault.next(format!(
                    "see what it serves there, and give the right `api_version`: kubectl api-resources | grep -i {}",
                    of.kind
                )),
            });
        };
        served.fits(of).map(|()| served)
    }
}

/// How a kind is served that every cluster serves alike; `None`: only the cluster knows.
pub fn built_in(group: &str, kind: &str) -> Option<Served> {
    let (_, inside, outside) = BUILT_IN.iter().find(|(of, ..)| *of == group)?;
    let find = |kinds: &Kinds, namespaced| {
        let (_, plural) = kinds.iter().find(|(name, _)| *name == kind)?;
        Some(Served {
            kind: kind.to_owned(),
            plural: (*plural).to_owned(),
            namespaced,
        })
    };
    find(inside, true).or_else(|| find(outside, false))
}

/// All of them: group, and how each is served.
pub fn all_built_in() -> Vec<(&'static str, Served)> {
    let all = BUILT_IN.iter().flat_map(|(group, inside, outside)| {
        let kinds = inside.iter().chain(outside.iter());
        kinds.filter_map(|(kind, _)| Some((*group, built_in(group, kind)?)))
    });
    all.collect()
}
