//! Image manifests and configurations as registries and archives hold them, and what of them a container needs. Pure.

use super::limits::LAYERS_MAX;
use crate::supervisor::ImageConfig;
use serde::{Deserialize, Serialize};

/// A manifest of one image, Docker's or OCI's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<String>,
    pub(super) config: Descriptor,
    #[serde(default)]
    pub(super) layers: Vec<Descriptor>,
}

/// What a manifest or an index points to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
}

/// A list of manifests.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    pub(super) manifests: Vec<Descriptor>,
}

/// An image's configuration.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigFile {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    config: Option<Settings>,
    pub(super) rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
pub(super) struct RootFs {
    #[serde(default)]
    pub(super) diff_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
}

impl ConfigFile {
    /// What a container is made of.
    pub(super) fn settings(&self) -> ImageConfig {
        let settings = self.config.clone().unwrap_or_default();
        ImageConfig {
            environment: settings.env.unwrap_or_default(),
            entry_point: settings.entrypoint.unwrap_or_default(),
            command: settings.cmd.unwrap_or_default(),
            user: settings.user.unwrap_or_default(),
            working_directory: settings.working_dir.unwrap_or_default(),
            stop_signal: settings.stop_signal,
        }
    }

    /// Why this image cannot run here, if so.
    pub(super) fn unfit(&self, layers: usize) -> Option<String> {
        if !self.os.is_empty() && self.os != "linux" {
            return Some(format!("image is for operating system {}", self.os));
        }
        if !self.architecture.is_empty() && self.architecture != architecture() {
            return Some(format!("image is for architecture {}, this host is {}", self.architecture, architecture()));
        }
        if self.rootfs.diff_ids.len() > LAYERS_MAX {
            return Some(format!("image has more than {LAYERS_MAX} layers"));
        }
        if self.rootfs.diff_ids.len() != layers {
            return Some("manifest and configuration name different numbers of layers".to_owned());
        }
        if self.rootfs.diff_ids.iter().any(|id| super::blob::hex_of(id).is_none()) {
            return Some("configuration has a malformed diff id".to_owned());
        }
        None
    }
}

/// This machine's architecture in the words of images.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The manifest for this machine in an index.
pub(super) fn native(index: &Index) -> Option<&Descriptor> {
    let fits = |descriptor: &&Descriptor| {
        descriptor
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "linux" && platform.architecture == architecture())
    };
    index.manifests.iter().find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_native_manifest_is_chosen() {
        let text = format!(
            r#"{{"manifests":[
              {{"digest":"sha256:1","platform":{{"os":"windows","architecture":"{0}"}}}},
              {{"digest":"sha256:2","platform":{{"os":"linux","architecture":"s390x"}}}},
              {{"digest":"sha256:3","platform":{{"os":"linux","architecture":"{0}"}}}},
              {{"digest":"sha256:4"}}]}}"#,
            architecture()
        );
        let index: Index = serde_json::from_str(&text).expect("index");
        assert_eq!(native(&index).map(|d| d.digest.as_str()), Some("sha256:3"));
    }

    #[test]
    fn configurations_with_nulls_and_docker_extras_are_read() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["sh"],
            "Healthcheck":{"Test":["NONE"]},"WorkingDir":"/w","StopSignal":"SIGQUIT"},
            "rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#;
        let file: ConfigFile = serde_json::from_str(text).expect("config");
        let settings = file.settings();
        assert_eq!(settings.command, ["sh"]);
        assert_eq!(settings.stop_signal.as_deref(), Some("SIGQUIT"));
        assert!(file.unfit(1).is_some());
    }
}
