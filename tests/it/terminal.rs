//! A terminal of its own for a command, and somebody who types.

use std::os::unix::process::ExitStatusExt;

use crate::support::Sandbox;

/// What somebody "types" who changes the size of the terminal's window.
pub(crate) fn resize(rows: u16, columns: u16) -> String {
    format!("\0{rows} {columns}")
}

/// Runs a command at a terminal of its own, types what `steps` says once each text is seen, and returns its exit code and all it showed.
pub(crate) fn at_a_terminal(sandbox: &Sandbox, arguments: &[&str], steps: &[(&str, &str)]) -> (i32, String) {
    const PLAYER: &str = r#"
import fcntl, json, os, pty, select, struct, sys, termios, time
steps, command = json.loads(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
seen, mark, deadline = b"", 0, time.monotonic() + 60
while time.monotonic() < deadline:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    if steps and steps[0][0].encode() in seen[mark:]:
        mark = len(seen)
        text = steps.pop(0)[1]
        if text.startswith("\0"):
            rows, columns = map(int, text[1:].split())
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        else:
            os.write(terminal, text.encode())
else:
    os.kill(pid, 9)
sys.stdout.buffer.write(seen)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
"#;
    let steps = serde_json::to_string(steps).expect("plain data");
    let inner = sandbox.command(arguments);
    let mut player = std::process::Command::new("python3");
    player.args(["-c", PLAYER, &steps]).arg(inner.get_program()).args(inner.get_args()).env_clear().current_dir(sandbox.project());
    player.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = player.output().expect("it starts");
    assert_eq!(output.status.signal(), None, "{output:?}");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}
