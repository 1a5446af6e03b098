//! Logs: whole, and resumed at any byte.

use futures_util::TryStreamExt;
use sendoff::engine::Follow;

use super::with_engine;

/// Writes lines of odd lengths, a line without end, bytes of more than one byte, and nothing else.
const WRITER: &str = r#"
import sys
for n in range(3000):
    sys.stdout.write(f"{n} {'é' * (n % 40)}\n")
sys.stdout.write("x" * 100_000 + "\n" + "no end of line")
"#;

#[test]
#[ignore = "needs a container engine"]
fn a_log_goes_on_at_the_byte_where_it_stopped() {
    with_engine("resume", async |world| {
        world.run(&world.spec(&["python", "-c", WRITER])).await;
        let whole = world.log(0).await.into_bytes();
        let lines: String = (0..3000).map(|n| format!("{n} {}\n", "é".repeat(n % 40))).collect();
        assert!(whole == format!("{lines}{}\nno end of line", "x".repeat(100_000)).into_bytes(), "{} bytes", whole.len());
        for skip in [1, 2, 4095, 16_384, 16_385, 100_000, whole.len() - 1, whole.len(), whole.len() + 10] {
            let rest = world.engine.logs(&world.name, skip as u64, Follow::No).expect("a name that fits");
            let rest: Vec<_> = rest.try_collect().await.expect("the log is read");
            assert!(rest.concat() == whole[skip.min(whole.len())..], "from {skip}");
        }
    });
}

#[test]
#[ignore = "needs a container engine"]
fn followers_that_come_and_go_lose_and_double_nothing() {
    with_engine("follow", async |world| {
        let script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); [ $((i % 20)) -ne 0 ] || sleep 0.02; done";
        world.engine.create(&world.spec(&["sh", "-c", script])).await.expect("it is created");
        world.engine.start(&world.name).await.expect("it starts");
        let mut kept = Vec::new();
        for round in 0.. {
            let mut log = std::pin::pin!(world.engine.logs(&world.name, kept.len() as u64, Follow::Yes).expect("a name that fits"));
            let mut pieces = 0;
            // Each follower leaves after a few pieces; the one that sees the end was the last.
            let ended = loop {
                match log.try_next().await.expect("the log is read") {
                    None => break true,
                    Some(_) if pieces > round % 4 => break false,
                    Some(piece) => kept.extend_from_slice(&piece),
                }
                pieces += 1;
            };
            if ended {
                break;
            }
        }
        let expected: String = (0..400).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(kept).expect("the log is UTF-8"), expected);
    });
}

#[test]
#[ignore = "needs a container engine"]
fn the_last_words_of_short_lives_are_heard() {
    with_engine("short", async |world| {
        for round in 0..8 {
            let name = format!("{}-{round}", world.name);
            let spec = sendoff::engine::ContainerSpec { name: name.clone(), ..world.spec(&["sh", "-c", "seq 1 500; printf end"]) };
            world.engine.create(&spec).await.expect("it is created");
            world.engine.start(&name).await.expect("it starts");
            let pieces: Vec<_> =
                world.engine.logs(&name, 0, Follow::Yes).expect("a name that fits").try_collect().await.expect("the log is read");
            let text = String::from_utf8(pieces.concat()).expect("the log is UTF-8");
            assert!(text.starts_with("1\n") && text.ends_with("500\nend"), "round {round}: {text}");
        }
    });
}
