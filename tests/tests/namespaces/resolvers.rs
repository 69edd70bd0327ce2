//! Real resolvers in a pod, and who answers them.

use beeline_tests::{
    Pod,
    clients::{Resolver, dig, dig_addresses},
    node::{CLUSTER_DNS, resolver},
};

use super::{POD, SERVICE, answering, expected, in_the_kernel, v4, v6};

#[test]
fn dig_gets_every_name_of_the_examples_from_the_kernel() {
    let cluster = answering();
    for (name, addresses) in cluster.names().unwrap() {
        in_the_kernel(&cluster, &name, || {
            assert_eq!(dig_addresses(cluster.client(), &[&name, "A"]).unwrap(), v4(&addresses), "{name} A");
            assert_eq!(
                dig_addresses(cluster.client(), &[&name, "AAAA"]).unwrap(),
                v6(&addresses),
                "{name} AAAA"
            );
        });
    }
}

#[test]
fn dig_is_answered_in_the_kernel_however_it_asks() {
    let cluster = answering();
    let wanted = v4(&expected(&cluster, SERVICE));
    for options in [
        &["+noedns"][..],
        &["+bufsize=512"],
        &["+bufsize=1232"],
        &["+bufsize=4096", "+nocookie"],
        &["+dnssec"],
        &["+norecurse"],
        &["+cdflag"],
        &["+adflag"],
    ] {
        for server in CLUSTER_DNS.each() {
            let server = format!("@{server}");
            let arguments = [options, &[&server, SERVICE, "A"]].concat();
            in_the_kernel(&cluster, &arguments.join(" "), || {
                assert_eq!(dig_addresses(cluster.client(), &arguments).unwrap(), wanted, "{arguments:?}");
            });
        }
    }
}

#[test]
fn dig_over_tcp_and_for_srv_is_answered_by_coredns() {
    let cluster = answering();
    let seen = cluster.coredns().queries().unwrap();
    let over_tcp = dig_addresses(cluster.client(), &["+tcp", SERVICE, "A"]).unwrap();
    assert_eq!(over_tcp, v4(&expected(&cluster, SERVICE)));
    cluster.coredns().saw(seen, 1).unwrap();
    let services = dig(cluster.client(), &["+short", SERVICE, "SRV"]).unwrap();
    cluster.coredns().saw(seen, 2).unwrap();
    for pod in ["mysql-0", "mysql-1", "mysql-2"] {
        assert!(services.contains(&format!("0 33 3306 {pod}.{SERVICE}.\n")), "{services}");
    }
}

#[test]
fn the_letters_of_the_question_come_back_as_they_were_asked() {
    let cluster = answering();
    let mixed = "mYsQl-0.My-Database.DEFAULT.svc.Cluster.LOCAL";
    let printed = in_the_kernel(&cluster, mixed, || dig(cluster.client(), &["+qr", mixed, "A"]).unwrap());
    let answer = printed.split("Got answer").nth(1).unwrap();
    assert!(answer.contains(&format!(";{mixed}.")), "{printed}");
    for address in v4(&expected(&cluster, POD)) {
        assert!(answer.contains(&format!("{address}\n")), "{printed}");
    }
}

#[test]
fn dig_finds_nothing_to_warn_of_in_a_reply() {
    let cluster = answering();
    for kind in ["A", "AAAA"] {
        let printed = dig(cluster.client(), &[SERVICE, kind]).unwrap();
        assert!(printed.contains("status: NOERROR"), "{printed}");
        assert!(printed.contains("flags: qr aa rd;"), "{printed}");
        assert!(printed.contains("QUERY: 1, ANSWER: 3, AUTHORITY: 0, ADDITIONAL: 1"), "{printed}");
        for complaint in ["WARNING: Message", "malformed", "extra bytes", "mismatch", "BADCOOKIE"] {
            assert!(!printed.contains(complaint), "{complaint}: {printed}");
        }
    }
}

#[test]
fn short_names_are_found_by_the_search_path_in_the_kernel_alone() {
    let cluster = answering();
    for (short, full) in
        [("mysql-0.my-database", POD), ("my-database", SERVICE), ("my-database.default", SERVICE)]
    {
        let wanted = expected(&cluster, full);
        for resolver in Resolver::ALL {
            // `my-database.default` is asked below `default.svc.cluster.local` first, where CoreDNS says no.
            if short == "my-database.default" {
                assert_eq!(
                    resolver.look_up(cluster.client(), short).unwrap(),
                    wanted,
                    "{resolver:?} {short}"
                );
                continue;
            }
            let what = format!("{resolver:?} {short}");
            let found = in_the_kernel(&cluster, &what, || resolver.look_up(cluster.client(), short).unwrap());
            assert_eq!(found, wanted, "{what}");
        }
    }
}

#[test]
fn full_names_resolve_through_the_detours_of_the_search_path() {
    let cluster = answering();
    // Four dots are fewer than ndots:5, so the search path comes first, and CoreDNS says three times that there is no
    // such name; with a dot at the end there is no search.
    for resolver in Resolver::ALL {
        let wanted = expected(&cluster, SERVICE);
        let before = cluster.node().passed().unwrap();
        assert_eq!(resolver.look_up(cluster.client(), SERVICE).unwrap(), wanted, "{resolver:?}");
        assert!(cluster.node().passed().unwrap().udp >= before.udp + 3, "{resolver:?} made no detour");
        let rooted = format!("{SERVICE}.");
        let what = format!("{resolver:?} {rooted}");
        let found = in_the_kernel(&cluster, &what, || resolver.look_up(cluster.client(), &rooted).unwrap());
        assert_eq!(found, wanted, "{what}");
    }
}

#[test]
fn every_resolver_is_answered_over_ipv6_too() {
    let cluster = answering();
    use_server(cluster.client(), CLUSTER_DNS.v6.into());
    let wanted = expected(&cluster, SERVICE);
    for resolver in Resolver::ALL {
        let what = format!("{resolver:?} over IPv6");
        let found =
            in_the_kernel(&cluster, &what, || resolver.look_up(cluster.client(), "my-database").unwrap());
        assert_eq!(found, wanted, "{what}");
    }
}

#[test]
fn a_name_that_does_not_exist_is_not_found_by_any_resolver() {
    let cluster = answering();
    for resolver in Resolver::ALL {
        assert!(resolver.look_up(cluster.client(), "mysql-9.my-database").is_err(), "{resolver:?}");
    }
}

fn use_server(pod: &Pod, server: std::net::IpAddr) {
    pod.namespace.set_resolver(&resolver(server)).unwrap();
}
