//! Tells the programs of this package where libduckdb is when they start: beside them, else where `ingestor/build.rs`
//! found it. An argument for the linker reaches only the package that gives it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let beside = match std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default().as_str() {
        "windows" => return,
        "macos" => "@loader_path",
        _ => "$ORIGIN",
    };
    if let Ok(folder) = std::env::var("DEP_FLEETPS_LIBDUCKDB_DIR") {
        for argument in ["-rpath", beside, "-rpath", &folder] {
            println!("cargo::rustc-link-arg=-Xlinker\ncargo::rustc-link-arg={argument}");
        }
    }
}
