//! A container from creation to removal, its input and its files.

use std::time::Duration;

use futures_util::TryStreamExt;
use sendoff::engine::{ContainerSpec, Error, ExecSpec, Follow, GpuRequest, Mount, Piece, Removal, State, Tar};

use super::{World, with_engine};

#[test]
#[ignore = "needs a container engine"]
fn a_container_goes_from_creation_to_removal() {
    with_engine("life", async |world| {
        let World { engine, name } = &world;
        let id = engine.create(&world.spec(&["sh", "-c", "exec 2>&1; echo out; echo err >&2; exit 7"])).await.expect("it is created");
        let made = engine.inspect(name).await.expect("it is inspected").expect("it is there");
        assert_eq!((made.state.clone(), made.exit_code, made.has_run()), (State::Created, None, false));
        engine.start(&id).await.expect("it starts");
        let ended = engine.wait(&id).await.expect("it ends").expect("it is still there");
        assert_eq!((ended.state.clone(), ended.exit_code, ended.has_ended()), (State::Exited, Some(7), true));
        assert!(ended.finished_at >= ended.started_at && ended.started_at.is_some(), "{ended:?}");
        assert_eq!(world.log(0).await, "out\nerr\n");
        engine.remove(&id, Removal::Ended).await.expect("it is removed");
        assert_eq!(engine.inspect(name).await.expect("it is asked for"), None);
        engine.remove(name, Removal::Ended).await.expect("what is gone is removed");
        assert_eq!(engine.wait(name).await.expect("it is asked for"), None);
    });
}

#[test]
#[ignore = "needs a container engine"]
fn input_is_passed_whole_and_shows_in_no_description() {
    with_engine("input", async |world| {
        let spec = ContainerSpec { open_stdin: true, ..world.spec(&["sha256sum"]) };
        let id = world.engine.create(&spec).await.expect("it is created");
        let input = vec![b'x'; 3_000_000];
        world.engine.start_with_input(&id, &input).await.expect("it takes its input");
        let ended = world.engine.wait(&id).await.expect("it ends").expect("it is there");
        assert_eq!(ended.exit_code, Some(0));
        let expected = <sha2::Sha256 as sha2::Digest>::digest(&input).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(world.log(0).await, format!("{expected}  -\n"));
    });
}

#[test]
#[ignore = "needs a container engine"]
fn files_go_in_before_the_start_and_come_out_after_the_end() {
    with_engine("files", async |world| {
        let id = world.engine.create(&world.spec(&["sh", "-c", "tr a-z A-Z < /srv/word > /srv/made"])).await.expect("it is created");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        tar.append_data(&mut header, "word", &b"word"[..]).expect("an archive in memory");
        let tar = tar.into_inner().expect("an archive in memory");
        world.engine.put(&id, "/srv", Tar::Whole(tar.into())).await.expect("the file goes in");
        world.engine.start(&id).await.expect("it starts");
        world.engine.wait(&id).await.expect("it ends");
        let pieces: Vec<_> = world.engine.get(&id, "/srv/made").expect("a name that fits").try_collect().await.expect("it comes out");
        let mut archive = tar::Archive::new(std::io::Cursor::new(pieces.concat()));
        let mut entry = archive.entries().expect("an archive").next().expect("an entry").expect("a whole entry");
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).expect("a readable entry");
        assert_eq!((entry.path().expect("a path").into_owned(), content.as_str()), ("made".into(), "WORD"));
    });
}

#[test]
#[ignore = "needs a container engine"]
fn a_stop_waits_for_the_grace_and_then_kills() {
    with_engine("stop", async |world| {
        let id = world.engine.create(&world.spec(&["sh", "-c", "trap 'exit 42' TERM; echo up; sleep 600 & wait"])).await.expect("created");
        world.engine.start(&id).await.expect("it starts");
        let mut log = std::pin::pin!(world.engine.logs(&id, 0, Follow::Yes).expect("a name that fits"));
        assert_eq!(log.try_next().await.expect("the log is read").expect("it says something"), "up\n");
        world.engine.stop(&id, Duration::from_secs(30)).await.expect("it stops");
        let ended = world.engine.wait(&id).await.expect("it ended").expect("it is there");
        assert_eq!(ended.exit_code, Some(42));
    });
}

#[test]
#[ignore = "needs a container engine"]
fn what_is_not_there_is_an_answer_or_an_error_by_its_kind() {
    with_engine("missing", async |world| {
        let World { engine, name } = &world;
        assert_eq!(engine.inspect(name).await.expect("an answer"), None);
        assert_eq!(engine.image("sendoff/no-such-image:1").await.expect("an answer"), None);
        assert_eq!(engine.inspect_network(name).await.expect("an answer"), None);
        assert_eq!(engine.inspect_volume(name).await.expect("an answer"), None);
        let spec = ContainerSpec { image: "sendoff/no-such-image:1".to_owned(), ..world.spec(&["true"]) };
        assert!(matches!(engine.create(&spec).await, Err(Error::Missing { .. })));
        assert!(matches!(engine.start(name).await, Err(Error::Missing { .. })));
        engine.create(&world.spec(&["true"])).await.expect("it is created");
        assert!(matches!(engine.create(&world.spec(&["true"])).await, Err(Error::Conflict { .. })));
    });
}

#[test]
#[ignore = "needs a container engine"]
fn limits_user_and_variables_are_those_of_the_description() {
    with_engine("limits", async |world| {
        let script = r#"
            cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max
            cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max
            df -k --output=size /dev/shm | tail -n 1 | tr -d ' '
            id -u; id -g; pwd; printf '%s|' "$ODD"; grep NoNewPrivs /proc/self/status | tr -d '\t'
            grep -c -- -init /proc/1/comm; df --output=target | grep memory; grep -c odd.host /etc/hosts"#;
        let spec = ContainerSpec {
            memory: Some(64 << 20),
            pids: Some(77),
            shared_memory: Some(8 << 20),
            cpus: Some(0.5),
            user: Some("1234:5678".to_owned()),
            environment: [("ODD".to_owned(), "a b\n\"$c'=".to_owned())].into(),
            working_directory: Some("/srv/made".to_owned()),
            no_new_privileges: true,
            network: None,
            extra_hosts: vec![("odd.host".to_owned(), "host-gateway".to_owned())],
            mounts: vec![Mount::Tmpfs { target: "/memory".to_owned(), size: Some(1 << 20) }],
            ..world.spec(&["sh", "-c", script])
        };
        let ended = world.run(&spec).await;
        assert_eq!((ended.exit_code, ended.oom_killed), (Some(0), false));
        let expected = "67108864\n77\n8192\n1234\n5678\n/srv/made\na b\n\"$c'=|NoNewPrivs:1\n1\n/memory\n1\n";
        assert_eq!(world.log(0).await, expected);
    });
}

#[test]
#[ignore = "needs a container engine"]
fn memory_beyond_the_limit_is_told_and_a_signal_shows_in_the_code() {
    with_engine("memory", async |world| {
        let spec = ContainerSpec { memory: Some(32 << 20), ..world.spec(&["python", "-c", "bytearray(200 << 20)"]) };
        let ended = world.run(&spec).await;
        assert_eq!((ended.exit_code, ended.oom_killed), (Some(137), true));
    });
    with_engine("signal", async |world| {
        world.engine.create(&world.spec(&["sleep", "600"])).await.expect("it is created");
        world.engine.start(&world.name).await.expect("it starts");
        let used = world.engine.memory(&world.name).await.expect("it is measured");
        assert!(used.now.is_some_and(|bytes| bytes > 0), "{used:?}");
        world.engine.kill(&world.name, "SIGINT").await.expect("it gets the signal");
        let ended = world.engine.wait(&world.name).await.expect("it ends").expect("it is there");
        assert_eq!((ended.exit_code, ended.oom_killed), (Some(130), false));
        assert!(matches!(world.engine.kill(&world.name, "SIGINT").await, Err(Error::Conflict { .. })));
        world.engine.stop(&world.name, Duration::from_secs(1)).await.expect("what has ended is stopped");
        assert_eq!(world.engine.memory(&world.name).await.expect("it is measured").now, None);
    });
}

#[test]
#[ignore = "needs a container engine"]
fn one_more_process_runs_in_a_container_with_input_and_code() {
    with_engine("exec", async |world| {
        world.engine.create(&world.spec(&["sleep", "600"])).await.expect("it is created");
        world.engine.start(&world.name).await.expect("it starts");
        let command = ["sh", "-c", "read word; echo \"$word $0\"; echo oh >&2; exit 9"].map(str::to_owned).to_vec();
        let mut exec = world.engine.exec(&world.name, &ExecSpec { command, ..ExecSpec::default() }).await.expect("it runs");
        tokio::io::AsyncWriteExt::write_all(&mut exec.input, b"hello\n").await.expect("it reads");
        let output: Vec<_> = exec.output.try_collect().await.expect("it writes");
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        for piece in output {
            match piece {
                Piece::Out(bytes) => said.extend_from_slice(&bytes),
                Piece::Err(bytes) => complained.extend_from_slice(&bytes),
            }
        }
        assert_eq!((said.as_slice(), complained.as_slice()), (&b"hello sh\n"[..], &b"oh\n"[..]));
        assert_eq!(world.engine.exec_code(&exec.id).await.expect("it ended"), Some(9));
    });
}

#[test]
#[ignore = "needs a container engine"]
fn a_start_that_fails_leaves_a_container_that_says_why_and_has_not_run() {
    with_engine("gpu", async |world| {
        world.engine.create(&ContainerSpec { gpus: Some(GpuRequest::Count(1)), ..world.spec(&["true"]) }).await.expect("it is created");
        world.engine.start(&world.name).await.expect_err("there is no GPU");
        let made = world.engine.inspect(&world.name).await.expect("it is inspected").expect("it is there");
        assert_eq!((made.state.clone(), made.has_run(), made.exit_code), (State::Created, false, None));
        assert!(made.error.is_some_and(|error| error.contains("device driver")));
        world.engine.remove(&world.name, Removal::Ended).await.expect("it is removed");
    });
}

#[test]
#[ignore = "needs a container engine"]
fn a_process_that_does_not_read_its_input_ends_as_it_likes() {
    with_engine("unread", async |world| {
        let spec = ContainerSpec { open_stdin: true, ..world.spec(&["sh", "-c", "exit 3"]) };
        world.engine.create(&spec).await.expect("it is created");
        world.engine.start_with_input(&world.name, &vec![b'x'; 8_000_000]).await.expect("it starts");
        assert_eq!(world.engine.wait(&world.name).await.expect("it ends").expect("it is there").exit_code, Some(3));
    });
}
