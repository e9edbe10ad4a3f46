//! Clusters of real processes.
use gemini_tests::cluster::Cluster;
const PROGRAM: &str = env!("CARGO_BIN_EXE_gemini-under-test");
const THREE: [&str; 3] = ["us-east", "us-west", "ireland"];

#[test]
fn three() {
    let mut cluster = Cluster::start(PROGRAM, "three", &THREE);
    println!("{}", cluster.converged());
    cluster.kill(0);
    println!("{}", cluster.wait_for_another_leader(0));
    cluster.restart(0);
    cluster.wait_for_leader(0);
    for site in 0..3 {
        assert!(cluster.terminate(site).success());
        println!("{}", cluster.log(site));
    }
}
