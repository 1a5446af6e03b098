//! What a container stands beside: images, networks, volumes, folders of this machine.

use std::collections::BTreeMap;

use sendoff::engine::{ContainerSpec, Error, Mount, Port, Product, Protocol};

use super::{IMAGE, with_engine};

#[test]
#[ignore = "needs a container engine"]
fn the_engine_describes_itself() {
    with_engine("about", async |world| {
        let about = world.engine.about().await.expect("it describes itself");
        assert_ne!(about.product, Product::DockerDesktop);
        assert_eq!((about.os.as_str(), about.is_local), ("linux", true));
        assert!(about.cpus > 0 && about.memory > 1 << 28 && !about.version.is_empty() && !about.api.is_empty(), "{about:?}");
    });
}

#[test]
#[ignore = "needs a container engine"]
fn an_image_is_named_once_more_and_loses_that_name() {
    with_engine("tag", async |world| {
        let base = world.engine.image(IMAGE).await.expect("it is inspected").expect("it is there");
        assert!(base.id.as_str().starts_with("sha256:") && base.platform.starts_with("linux/") && base.size > 0, "{base:?}");
        assert!(base.environment.iter().any(|(name, value)| name == "PATH" && value.contains("/bin")), "{base:?}");
        let other = format!("{}:1", world.name);
        world.engine.tag(IMAGE, &other).await.expect("it is named");
        let named = world.engine.image(&other).await.expect("it is inspected").expect("it is there");
        assert_eq!(named.id, base.id);
        world.engine.remove_image(&other).await.expect("the name goes");
        world.engine.remove_image(&other).await.expect("what is gone is removed");
        assert_eq!(world.engine.image(&other).await.expect("it is asked for"), None);
        assert_eq!(world.engine.images(&[("sendoff.test", world.name.as_str())]).await.expect("they are listed"), []);
    });
}

#[test]
#[ignore = "needs a container engine"]
fn containers_of_a_network_reach_each_other_and_know_the_gateway() {
    with_engine("net", async |world| {
        let network = world.engine.create_network(&world.name, &world.labels()).await.expect("it is made");
        assert!(network.gateway.is_some() && network.subnet.is_some(), "{network:?}");
        assert!(matches!(world.engine.create_network(&world.name, &BTreeMap::new()).await, Err(Error::Conflict { .. })));
        let server = ContainerSpec {
            name: format!("{}-server", world.name),
            network: Some(world.name.clone()),
            aliases: vec!["head".to_owned()],
            ..world.spec(&["python", "-m", "http.server", "8000"])
        };
        world.engine.create(&server).await.expect("it is created");
        world.engine.start(&server.name).await.expect("it starts");
        let inside = world.engine.inspect(&server.name).await.expect("it is inspected").expect("it is there");
        let attached = &inside.networks[&world.name];
        assert_eq!((attached.network.clone(), attached.gateway.clone()), (network.id.clone(), network.gateway.clone()));
        let ask = "import time, urllib.request\nfor _ in range(100):\n  try: print(urllib.request.urlopen('http://head:8000').status); break\n  except OSError: time.sleep(0.1)";
        let client = ContainerSpec { network: Some(world.name.clone()), ..world.spec(&["python", "-c", ask]) };
        world.run(&client).await;
        assert_eq!(world.log(0).await, "200\n");
        assert!(matches!(world.engine.remove_network(&world.name).await, Err(Error::Refused { .. } | Error::Conflict { .. })));
    });
}

#[test]
#[ignore = "needs a container engine"]
fn a_volume_outlives_the_container_that_wrote_it() {
    with_engine("volume", async |world| {
        world.engine.create_volume(&world.name, &world.labels()).await.expect("it is made");
        let mounted = |read_only| vec![Mount::Volume { name: world.name.clone(), target: "/data".to_owned(), read_only }];
        let writer = ContainerSpec {
            name: format!("{}-writer", world.name),
            mounts: mounted(false),
            ..world.spec(&["sh", "-c", "echo kept > /data/word"])
        };
        world.run(&writer).await;
        assert!(matches!(world.engine.remove_volume(&world.name).await, Err(Error::Conflict { .. })));
        let reader =
            ContainerSpec { mounts: mounted(true), ..world.spec(&["sh", "-c", "cat /data/word; touch /data/x 2>/dev/null || echo only"]) };
        world.run(&reader).await;
        assert_eq!(world.log(0).await, "kept\nonly\n");
    });
}

#[test]
#[ignore = "needs a container engine"]
fn a_port_of_this_machine_leads_into_a_container() {
    with_engine("port", async |world| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let port = Port { address: [127, 0, 0, 1].into(), host: free, container: 8000, protocol: Protocol::Tcp };
        let spec = ContainerSpec { network: None, ports: vec![port], ..world.spec(&["python", "-m", "http.server", "8000"]) };
        world.engine.create(&spec).await.expect("it is created");
        world.engine.start(&world.name).await.expect("it starts");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let answered = loop {
            let answer = reqwest::get(format!("http://127.0.0.1:{free}/")).await;
            match answer {
                Ok(answer) => break answer.status().as_u16(),
                Err(error) if std::time::Instant::now() > deadline => panic!("{error}"),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        };
        assert_eq!(answered, 200);
    });
}

#[test]
#[ignore = "needs a container engine"]
fn a_folder_is_seen_only_where_the_engine_has_the_same() {
    with_engine("sees", async |world| {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(world.engine.sees(folder.path(), IMAGE).await.expect("it is tried"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "the probe is gone");
        assert!(!world.engine.sees(std::path::Path::new("relative"), IMAGE).await.expect("it is tried"));
    });
}
