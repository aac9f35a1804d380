//! What a cluster may be made with.

use wire::{Fault, ToJson, ecs};

/// Settings of a cluster. Container Insights has no engine: only turning it off is true.
pub(crate) fn settings(settings: &[ecs::ClusterSetting]) -> Result<(), Fault> {
    for setting in settings {
        let name = setting.name.ok_or_else(|| Fault::invalid_parameter("A setting needs a name."))?;
        match setting.value.as_deref() {
            Some("disabled") => {}
            Some(value @ ("enabled" | "enhanced")) => {
                return Err(unsupported(&format!("settings ({}={value})", name.as_str())));
            }
            value => {
                let message = format!(
                    "Invalid cluster setting value {:?}: {} takes enabled, enhanced, disabled.",
                    value.unwrap_or_default(),
                    name.as_str()
                );
                return Err(Fault::invalid_parameter(message));
            }
        }
    }
    Ok(())
}

/// How commands are executed in containers is kept for the agent; keys for stored data have no engine.
pub(crate) fn configuration(configuration: Option<ecs::ClusterConfiguration>) -> Result<Option<Box<str>>, Fault> {
    let Some(configuration) = configuration else { return Ok(None) };
    if configuration.managed_storage_configuration.is_some() {
        return Err(unsupported("configuration.managedStorageConfiguration"));
    }
    let Some(execute) = configuration.execute_command_configuration else { return Ok(None) };
    let overrides = execute.logging == Some(ecs::ExecuteCommandLogging::Override);
    if overrides != execute.log_configuration.is_some() {
        let message =
            "logConfiguration of executeCommandConfiguration is required with logging OVERRIDE, and only then.";
        return Err(Fault::invalid_parameter(message));
    }
    Ok(Some(execute.to_json().into()))
}

/// Service Connect has no engine.
pub(crate) fn no_service_connect(defaults: Option<&ecs::ClusterServiceConnectDefaultsRequest>) -> Result<(), Fault> {
    defaults.map_or(Ok(()), |_| Err(unsupported("serviceConnectDefaults")))
}

fn unsupported(member: &str) -> Fault {
    ecs::fault::client(format!("not supported yet: {member} of a cluster"))
}
