//! The cluster changes while the agent runs.

use std::time::{Duration, Instant};

use beeline_tests::{
    agent::{Answerer, ask_until, who_answers},
    ask::Ask,
    clients::dig_addresses,
    manifests,
    node::CLUSTER_DNS,
};
use hickory_proto::{op::ResponseCode, rr::RecordType};

use super::{POD, SERVICE, a, answering, assert_answers, expected, v4};

#[test]
fn a_new_pod_is_hooked_within_a_second() {
    let mut cluster = answering();
    for serial in 0..5_u8 {
        let addresses =
            [[10, 244, 0, 200 + serial].into(), format!("fd00:10:244::2{serial}").parse().unwrap()];
        cluster.add_pod(&format!("late-{serial}"), &addresses).unwrap();
        let came = Instant::now();
        let pod = cluster.node().pod(&format!("late-{serial}")).unwrap();
        loop {
            let (reply, who) = who_answers(cluster.node(), pod, CLUSTER_DNS.v4.into(), &a(SERVICE)).unwrap();
            assert_eq!(reply.addresses(), v4(&expected(&cluster, SERVICE)));
            if who == Answerer::Kernel {
                break;
            }
            assert!(came.elapsed() < Duration::from_secs(1), "late-{serial} is still not hooked");
        }
    }
}

#[test]
fn a_pod_that_goes_leaves_the_others_answered() {
    let mut cluster = answering();
    cluster.delete_pod("web-0").unwrap();
    manifests::remove(cluster.manifests(), "Pod", "web-0").unwrap();
    let since = Instant::now();
    let name = "web-headless.default.svc.cluster.local";
    let wanted = v4(&expected(&cluster, name));
    ask_until(cluster.client(), &a(name), since, |reply| reply.addresses() == wanted).unwrap();
    assert_eq!(assert_answers(&cluster, name, Answerer::Kernel), wanted);
    assert_eq!(assert_answers(&cluster, SERVICE, Answerer::Kernel), v4(&expected(&cluster, SERVICE)));
    assert!(cluster.agent().unwrap().ended().unwrap().is_none());
}

#[test]
fn a_pod_that_turns_unready_leaves_the_answer_and_comes_back() {
    let cluster = answering();
    let all = v4(&expected(&cluster, SERVICE));
    for ready in [false, true] {
        manifests::edit(cluster.manifests(), "Pod", "mysql-0", |pod| manifests::set_ready(pod, ready))
            .unwrap();
        let wanted = v4(&expected(&cluster, SERVICE));
        assert_eq!(wanted.len(), if ready { all.len() } else { all.len() - 1 });
        ask_until(cluster.client(), &a(SERVICE), Instant::now(), |reply| reply.addresses() == wanted)
            .unwrap();
        assert_eq!(assert_answers(&cluster, SERVICE, Answerer::Kernel), wanted);
    }
}

#[test]
fn a_service_without_a_ready_pod_does_not_exist() {
    let cluster = answering();
    let name = "web-headless.default.svc.cluster.local";
    for pod in ["web-0", "web-1", "web-2"] {
        manifests::edit(cluster.manifests(), "Pod", pod, |pod| manifests::set_ready(pod, false)).unwrap();
    }
    let gone = |reply: &beeline_tests::ask::Reply| reply.code() == ResponseCode::NXDomain;
    ask_until(cluster.client(), &a(name), Instant::now(), gone).unwrap();
    for kind in [RecordType::A, RecordType::AAAA] {
        let (reply, who) = cluster.ask(&Ask::new(name, kind).unwrap()).unwrap();
        assert_eq!((who, reply.code()), (Answerer::Kernel, ResponseCode::NXDomain), "{kind}");
        let authority = reply.message.authorities.first().expect("an NXDOMAIN carries the zone's SOA");
        assert_eq!(
            (authority.record_type(), authority.name.to_string()),
            (RecordType::SOA, "cluster.local.".into())
        );
    }
}

#[test]
fn a_pod_of_one_family_has_no_data_in_the_other() {
    let cluster = answering();
    manifests::edit(cluster.manifests(), "Pod", "mysql-0", |pod| {
        let first = pod["status"]["podIPs"][0].clone();
        pod["status"]["podIPs"] = vec![first].into();
    })
    .unwrap();
    let ask = Ask::new(POD, RecordType::AAAA).unwrap();
    ask_until(cluster.client(), &ask, Instant::now(), |reply| reply.addresses().is_empty()).unwrap();
    let (reply, who) = cluster.ask(&ask).unwrap();
    assert_eq!((who, reply.code()), (Answerer::Kernel, ResponseCode::NoError));
    assert_eq!(reply.message.authorities.len(), 1, "NODATA carries the zone's SOA");
    assert_eq!(assert_answers(&cluster, POD, Answerer::Kernel).len(), 1);
}

#[test]
fn an_edit_that_breaks_a_file_leaves_its_last_good_names() {
    let mut cluster = answering();
    let wanted = v4(&expected(&cluster, SERVICE));
    assert!(cluster.manifests().join("my-database.yaml").is_file(), "the file to be broken is not there");
    manifests::write(cluster.manifests(), "my-database.yaml", "kind: Service\nmetadata: [\n").unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !cluster.agent().unwrap().log().contains("my-database.yaml") {
        assert!(Instant::now() < deadline, "the log does not tell of the broken file");
    }
    assert_eq!(assert_answers(&cluster, SERVICE, Answerer::Kernel), wanted);
}

#[test]
fn an_answer_that_does_not_fit_is_left_to_coredns() {
    const ADDRESSES: usize = 40;
    let mut cluster = answering();
    let name = "crowd.default.svc.cluster.local";
    manifests::write(cluster.manifests(), "crowd.yaml", &crowd(ADDRESSES)).unwrap();
    cluster.update_coredns().unwrap();
    // 12 bytes of header, 37 of question and 40 times 16: more than 512, less than 1232.
    let wide = Ask::new(name, RecordType::A).unwrap().edns(1232);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let (reply, who) = cluster.ask(&wide).unwrap();
        if who == Answerer::Kernel {
            assert_eq!(reply.addresses(), v4(&expected(&cluster, name)));
            break;
        }
        assert!(Instant::now() < deadline, "the kernel does not answer {name}");
    }
    let (reply, who) = cluster.ask(&a(name)).unwrap();
    assert_eq!((who, reply.message.metadata.truncation), (Answerer::CoreDns, true));
    let all = dig_addresses(cluster.client(), &["+noedns", name, "A"]).unwrap();
    assert_eq!(all.len(), ADDRESSES, "dig asks again over TCP");
}

/// A headless Service and its slice of that many ready endpoints.
fn crowd(addresses: usize) -> String {
    let mut text = "apiVersion: v1\n\
        kind: Service\n\
        metadata: {name: crowd}\n\
        spec: {clusterIP: None, ports: [{port: 80}]}\n\
        ---\n\
        apiVersion: discovery.k8s.io/v1\n\
        kind: EndpointSlice\n\
        metadata: {name: crowd-1, labels: {kubernetes.io/service-name: crowd}}\n\
        addressType: IPv4\n\
        endpoints:\n"
        .to_owned();
    for host in 1..=addresses {
        text += &format!("- {{addresses: [10.244.1.{host}], conditions: {{ready: true}}}}\n");
    }
    text
}
