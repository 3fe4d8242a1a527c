//! System metrics under the names of MLflow.

use std::path::Path;

use sysinfo::{Disks, Networks, System};

use crate::entities::run::Metric;

const MEGABYTE: f64 = 1e6;

/// Samples system metrics.
#[derive(Debug)]
pub(crate) struct SystemMetricsSampler {
    system: System,
    disks: Disks,
    networks: Networks,
    /// Bytes received and sent before the first sample.
    initial_traffic: (u64, u64),
    samples: i64,
}

impl SystemMetricsSampler {
    pub(crate) fn new() -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        let networks = Networks::new_with_refreshed_list();
        Self { system, disks: Disks::new_with_refreshed_list(), initial_traffic: traffic(&networks), networks, samples: 0 }
    }

    /// The metrics at `at`, milliseconds since 1970-01-01 UTC. Processor utilization is the mean since the last sample.
    pub(crate) fn sample(&mut self, at: i64) -> Vec<Metric> {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.networks.refresh(true);
        let mut metrics = vec![
            ("system_memory_usage_megabytes", self.system.used_memory() as f64 / MEGABYTE),
            (
                "system_memory_usage_percentage",
                100.0 * self.system.used_memory() as f64 / self.system.total_memory().max(1) as f64,
            ),
        ];
        // the first sample has no predecessor
        if self.samples > 0 {
            metrics.push(("cpu_utilization_percentage", f64::from(self.system.global_cpu_usage())));
        }
        let root = self.disks.iter_mut().find(|disk| disk.mount_point() == Path::new("/"));
        if let Some(disk) = root {
            disk.refresh();
            let (total, free) = (disk.total_space() as f64, disk.available_space() as f64);
            metrics.push(("disk_usage_percentage", 100.0 * (total - free) / total.max(1.0)));
            metrics.push(("disk_usage_megabytes", (total - free) / MEGABYTE));
            metrics.push(("disk_available_megabytes", free / MEGABYTE));
        }
        let (received, sent) = traffic(&self.networks);
        metrics.push(("network_receive_megabytes", received.saturating_sub(self.initial_traffic.0) as f64 / MEGABYTE));
        metrics.push(("network_transmit_megabytes", sent.saturating_sub(self.initial_traffic.1) as f64 / MEGABYTE));
        let step = self.samples;
        self.samples += 1;
        let metric = |(name, value): (&str, f64)| Metric {
            key: format!("system/{name}"),
            value,
            timestamp: at,
            step,
            model_id: None,
            dataset: None,
        };
        metrics.into_iter().map(metric).collect()
    }
}

fn traffic(networks: &Networks) -> (u64, u64) {
    networks
        .values()
        .fold((0, 0), |(received, sent), network| (received + network.total_received(), sent + network.total_transmitted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_mlflows_names_and_make_sense() {
        let mut sampler = SystemMetricsSampler::new();
        let first = sampler.sample(1);
        assert!(first.iter().all(|metric| metric.step == 0 && metric.timestamp == 1 && metric.value.is_finite()));
        let second = sampler.sample(2);
        let of = |key: &str| second.iter().find(|metric| metric.key == key).map(|metric| metric.value);
        assert!((0.0..=100.0).contains(&of("system/cpu_utilization_percentage").unwrap()));
        assert!((1.0..=100.0).contains(&of("system/system_memory_usage_percentage").unwrap()));
        assert!(of("system/system_memory_usage_megabytes").unwrap() > 10.0);
    }
}
