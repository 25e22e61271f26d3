//! `deploy/k8s`: what the manifests say fits together.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::needs::{Need, trial};
use crate::support::scratch::Scratch;
use crate::support::{Outcome, ensure, scratch, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let kubectl = [Need::Extra("kubectl")];
    vec![
        trial("manifests_are_all_listed", &[], all_listed),
        trial("manifest_of_the_restore", &[], the_restore),
        trial("manifests_of_pods", &[], pods),
        trial("manifest_of_the_network_policy", &[], network_policy),
        trial("manifests_are_built_by_kustomize", &kubectl, kustomize),
    ]
}

pub(crate) fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/k8s")
}

/// The documents of a YAML file.
fn documents(text: &str) -> Outcome<Vec<Value>> {
    serde_saphyr::from_multiple(text).map_err(|e| format!("not YAML: {e}").into())
}

fn file(name: &str) -> Outcome<Vec<Value>> {
    documents(&String::from_utf8(scratch::read(&deploy().join(name))?)?)
}

/// The only document of a file.
pub(crate) fn only(name: &str) -> Outcome<Value> {
    let mut documents = file(name)?;
    ensure!(documents.len() == 1, "{name} has {} documents", documents.len());
    documents.pop().ok_or_else(|| "none".into())
}

fn list<'v>(value: &'v Value, what: &str) -> Outcome<&'v Vec<Value>> {
    value.as_array().ok_or_else(|| format!("no list of {what}: {value}").into())
}

fn text<'v>(value: &'v Value, what: &str) -> Outcome<&'v str> {
    value.as_str().ok_or_else(|| format!("no {what}: {value}").into())
}

/// What is set in the `ConfigMap` under this name.
pub(crate) fn setting(name: &str) -> Outcome<String> {
    let kustomization = only("kustomization.yaml")?;
    for literal in list(&kustomization["configMapGenerator"][0]["literals"], "literals")? {
        if let Some((key, value)) = text(literal, "literal")?.split_once('=')
            && key == name
        {
            return Ok(value.to_owned());
        }
    }
    Err(format!("{name} is not set").into())
}

/// The pod and its only container.
fn pod(job: &Value) -> Outcome<(&Value, &Value)> {
    let pod = &job["spec"]["template"]["spec"];
    let containers = list(&pod["containers"], "containers")?;
    ensure!(containers.len() == 1, "{} containers", containers.len());
    Ok((pod, &containers[0]))
}

/// The command of a job: the shell's arguments, with the script last.
pub(crate) fn command(job: &Value) -> Outcome<Vec<String>> {
    let (_, container) = pod(job)?;
    let words =
        list(&container["command"], "command")?.iter().chain(list(&container["args"], "args")?);
    words.map(|word| text(word, "word").map(str::to_owned)).collect()
}

fn all_listed() -> Outcome {
    let kustomization = only("kustomization.yaml")?;
    let mut listed = vec!["kustomization.yaml"];
    for resource in list(&kustomization["resources"], "resources")? {
        listed.push(text(resource, "resource")?);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(deploy())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|e| e == "yaml") {
            for document in file(&name)? {
                text(&document["apiVersion"], "apiVersion").and(text(&document["kind"], "kind"))?;
            }
            found.push(name);
        }
    }
    found.sort();
    listed.sort_unstable();
    ensure!(found == listed, "{found:?} are there, {listed:?} are listed");
    Ok(())
}

fn the_restore() -> Outcome {
    let job = only("restore.yaml")?;
    let spec = &job["spec"];
    let parts: u64 = setting("PARTS")?.parse()?;
    ensure!(spec["completionMode"] == "Indexed", "indices are what parts are counted by");
    ensure!(spec["completions"] == parts, "completions are not PARTS: {}", spec["completions"]);
    ensure!(spec["parallelism"] == parts, "parallelism is not PARTS: {}", spec["parallelism"]);
    ensure!(spec["backoffLimitPerIndex"].as_u64() > Some(0), "a part does not start again");
    ensure!(spec["podReplacementPolicy"] == "Failed", "two pods could write one part");
    let (pod, container) = pod(&job)?;
    ensure!(pod["restartPolicy"] == "Never", "what backoffLimitPerIndex asks for");
    let rules = list(&spec["podFailurePolicy"]["rules"], "rules")?;
    let final_codes = rules.iter().find(|rule| rule["action"] == "FailIndex");
    let on = &final_codes.ok_or("no FailIndex")?["onExitCodes"];
    ensure!(on["containerName"] == container["name"], "{on} is of another container");
    let codes = list(&on["values"], "values")?;
    for again in [5, 7, 130, 143, 137] {
        ensure!(!codes.contains(&again.into()), "after {again} another attempt may do");
    }
    let script = command(&job)?.pop().unwrap_or_default();
    for word in ["$((JOB_COMPLETION_INDEX + 1))", "/$PARTS", "--in-place", "\"$TARGET\""] {
        ensure!(script.contains(word), "no {word} in {script}");
    }
    Ok(())
}

fn pods() -> Outcome {
    let claims = file("volumes.yaml")?;
    let kustomization = only("kustomization.yaml")?;
    let image = &kustomization["images"][0];
    text(&image["newName"], "newName").and(text(&image["newTag"], "newTag"))?;
    let target = setting("TARGET")?;
    for name in ["restore.yaml", "verify.yaml"] {
        let job = only(name)?;
        let (pod, container) = pod(&job)?;
        ensure!(pod["automountServiceAccountToken"] == false, "{name}: has a token");
        ensure!(container["image"] == image["name"], "{name}: image {}", container["image"]);
        let settings = &container["envFrom"][0]["configMapRef"]["name"];
        let generated = &kustomization["configMapGenerator"][0]["name"];
        ensure!(settings == generated, "{name}: settings are {settings}");
        let context = &container["securityContext"];
        ensure!(context["allowPrivilegeEscalation"] == false, "{name}: {context}");
        ensure!(context["readOnlyRootFilesystem"] == true, "{name}: {context}");
        ensure!(context["capabilities"]["drop"][0] == "ALL", "{name}: {context}");
        let limit = &container["resources"]["limits"]["memory"];
        ensure!(limit.is_string(), "{name}: memory is not limited");
        let device = &container["volumeDevices"][0];
        ensure!(device["devicePath"] == target.as_str(), "{name}: {device} is not {target}");
        let places = [("volumeDevices", "Block"), ("volumeMounts", "Filesystem")];
        for (places, mode) in places {
            for place in list(&container[places], places)? {
                let claim = claim_of(pod, &place["name"], &claims)?;
                ensure!(claim["spec"]["volumeMode"] == mode, "{name}: {place} is not {mode}");
                let is_sets = place["mountPath"] == "/sets";
                ensure!(!is_sets || place["readOnly"] == true, "{name}: sets can be written");
            }
        }
        let script = command(&job)?.pop().unwrap_or_default();
        for used in ["/sets", "/journals"].iter().filter(|path| script.contains(*path)) {
            let mounts = list(&container["volumeMounts"], "mounts")?;
            let mounted = mounts.iter().any(|mount| mount["mountPath"] == *used);
            ensure!(mounted, "{name}: {used} is not mounted");
        }
    }
    Ok(())
}

/// The claim behind a volume of the pod.
fn claim_of<'v>(pod: &Value, volume: &Value, claims: &'v [Value]) -> Outcome<&'v Value> {
    let volumes = list(&pod["volumes"], "volumes")?;
    let volume = volumes.iter().find(|v| v["name"] == *volume).ok_or("no such volume")?;
    let name = &volume["persistentVolumeClaim"]["claimName"];
    let claim = claims.iter().find(|claim| claim["metadata"]["name"] == *name);
    claim.ok_or_else(|| format!("no claim {name}").into())
}

fn network_policy() -> Outcome {
    let policy = only("network-policy.yaml")?;
    let spec = &policy["spec"];
    ensure!(spec["policyTypes"] == serde_json::json!(["Ingress", "Egress"]), "{spec}");
    ensure!(spec["ingress"].is_null() && spec["egress"].is_null(), "something is allowed");
    let labels = &only("kustomization.yaml")?["labels"][0];
    ensure!(labels["includeTemplates"] == true, "pods have no labels: {labels}");
    ensure!(spec["podSelector"]["matchLabels"] == labels["pairs"], "of other pods: {spec}");
    Ok(())
}

/// What kustomize makes of a directory, by kind.
fn built(directory: &Path, kind: &str) -> Outcome<Vec<Value>> {
    let text = tool::run("kubectl", [Path::new("kustomize"), directory])?;
    Ok(documents(&text)?.into_iter().filter(|document| document["kind"] == kind).collect())
}

fn kustomize() -> Outcome {
    let jobs = built(&deploy(), "Job")?;
    ensure!(jobs.len() == 2, "{} jobs", jobs.len());
    for job in &jobs {
        let (_, container) = pod(job)?;
        let image = text(&container["image"], "image")?;
        ensure!(image.contains('/') && image.contains(':'), "the image is {image}");
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        ensure!(labels["app.kubernetes.io/name"] == "snaprestore", "labels {labels}");
    }
    let scratch = Scratch::new()?;
    scratch::copy_tree(&deploy(), &scratch.path("k8s"))?;
    let overlay = scratch.dir("overlay")?;
    let lines = "resources: [../k8s]\ncomponents: [../k8s/file-target]\n";
    scratch::write(&overlay.join("kustomization.yaml"), lines.as_bytes())?;
    for job in built(&overlay, "Job")? {
        let (pod, container) = pod(&job)?;
        ensure!(container["volumeDevices"].is_null(), "a device is left: {container}");
        ensure!(pod["securityContext"]["runAsNonRoot"] == true, "{}", pod["securityContext"]);
        let mounts = list(&container["volumeMounts"], "mounts")?;
        ensure!(mounts.iter().any(|mount| mount["mountPath"] == "/target"), "no target");
    }
    let settings = built(&overlay, "ConfigMap")?;
    ensure!(settings[0]["data"]["TARGET"] == "/target/volume.img", "{settings:?}");
    ensure!(settings[0]["data"]["PARTS"] == setting("PARTS")?, "{settings:?}");
    Ok(())
}
