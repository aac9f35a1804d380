//! The supervisor as a program of its own, for tests and for hosts that want it apart from `gantry`.

fn main() {
    runtime::supervisor_main(std::env::args_os().skip(1))
}
