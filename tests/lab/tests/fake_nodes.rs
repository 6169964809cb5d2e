//! Fake nodes, in a lab of their own beside any other. Root: `cargo test -p lab --test fake_nodes -- --ignored`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::fake::{Budget, FakeNode, FakePods};
use lab::{Lab, Profile};

/// A lab of its own, which is gone at the end whatever happens.
struct Own(Lab, PathBuf);

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.down();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

/// Where the pods are that are Ready.
fn nodes_of(lab: &Lab, pods: &FakePods) -> Vec<String> {
    let list = lab
        .kubectl_json(&[
            "-n",
            pods.namespace,
            "get",
            "pods",
            "-l",
            &pods.selector(),
            "--field-selector=status.phase=Running",
        ])
        .unwrap();
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| pod["spec"]["nodeName"].as_str().unwrap().to_owned())
        .collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(90), "{what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
#[ignore = "brings a control plane up: root"]
fn pods_of_fake_nodes_move_when_they_are_evicted() {
    let dir = std::env::temp_dir().join(format!("lab-test-fake-{}", std::process::id()));
    let own = Own(Lab::at(&dir).unwrap(), dir);
    let lab = &own.0;
    lab.up(Profile::Fake).unwrap();
    assert!(
        lab.up(Profile::ControlPlane).is_err(),
        "Calico on fake nodes"
    );
    let mut nodes = FakeNode::numbered(3);
    nodes.push(FakeNode::named("fake-cp").of_control_plane());
    lab.make_fake_nodes(&nodes).unwrap();
    let pods = FakePods {
        namespace: "shop",
        budget: Some(Budget::MaxUnavailable("10%")),
        ..FakePods::new("web", "fake-1", 20)
    };
    lab.make_fake_pods(&pods).unwrap();
    assert_eq!(nodes_of(lab, &pods), vec!["fake-1"; 20]);

    let drain = ["drain", "fake-1", "--grace-period=0", "--force"];
    lab.kubectl_text(&drain).unwrap();
    wait_until("20 pods elsewhere", || {
        let now = nodes_of(lab, &pods);
        now.len() == 20 && now.iter().all(|node| node == "fake-2" || node == "fake-3")
    });
    lab.kubectl_text(&["uncordon", "fake-1"]).unwrap();
    lab.remove_fake_pods(&pods).unwrap();
    assert_eq!(nodes_of(lab, &pods).len(), 0);

    // Many, and quickly; none is left by a node whose kubelet is dead until somebody forces it.
    let many = FakePods::new("many", "fake-2", 500);
    let start = Instant::now();
    lab.make_fake_pods(&many).unwrap();
    println!("500 pods in {:.1} s", start.elapsed().as_secs_f64());
    lab.stop_fake_kubelet("fake-2").unwrap();
    let ready = ["get", "node", "fake-2", "--no-headers"];
    wait_until("NotReady", || {
        lab.kubectl_text(&ready).unwrap().contains("NotReady")
    });
    let name = lab
        .kubectl_text(&["get", "pods", "-l", "app=many", "-o", "name"])
        .unwrap();
    let one = name.lines().next().unwrap();
    lab.kubectl_text(&["delete", one, "--wait=false"]).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let still = lab.kubectl_text(&["get", one, "--no-headers"]).unwrap();
    assert!(still.contains("Terminating"), "{still}");
    lab.start_fake_kubelet("fake-2").unwrap();
    wait_until("the end of the pod", || {
        !lab.kubectl(&["get", one]).unwrap().status.success()
    });
    lab.remove_fake_pods(&many).unwrap();
    lab.remove_fake_nodes().unwrap();
    lab.down().unwrap();
}
