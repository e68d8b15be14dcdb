//! What a request and a tenant may take, each limit with the name of the setting that raises it.

/// The names of the settings, as error texts quote them.
pub mod settings {
    /// `Limits::request_bytes_max`
    pub const REQUEST_BYTES: &str = "limits.request_bytes_max";
    /// `Limits::decoded_bytes_max`
    pub const DECODED_BYTES: &str = "limits.decoded_bytes_max";
    /// `Limits::inflight_bytes_max`
    pub const INFLIGHT_BYTES: &str = "limits.inflight_bytes_max";
    /// `Limits::labels_per_series_max`
    pub const LABELS_PER_SERIES: &str = "limits.labels_per_series_max";
    /// `Limits::label_name_bytes_max`
    pub const LABEL_NAME_BYTES: &str = "limits.label_name_bytes_max";
    /// `Limits::label_value_bytes_max`
    pub const LABEL_VALUE_BYTES: &str = "limits.label_value_bytes_max";
    /// `Limits::exemplar_label_bytes_max`
    pub const EXEMPLAR_LABEL_BYTES: &str = "limits.exemplar_label_bytes_max";
    /// `Limits::samples_per_second`
    pub const SAMPLES_PER_SECOND: &str = "limits.samples_per_second";
    /// Enforced where the series are held.
    pub const SERIES_PER_TENANT: &str = "limits.series_per_tenant_max";
    /// Enforced where the series are held.
    pub const OUT_OF_ORDER_WINDOW: &str = "limits.out_of_order_time_window";
}

/// Limits of the write door. Enforced before the memory they speak of is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Largest request body as it comes over the wire.
    pub request_bytes_max: usize,
    /// Largest request body once it is decompressed.
    pub decoded_bytes_max: usize,
    /// Bytes of all requests in work at once, compressed and decompressed together.
    pub inflight_bytes_max: usize,
    /// Most labels of a series, the metric's name included.
    pub labels_per_series_max: usize,
    /// Longest label name.
    pub label_name_bytes_max: usize,
    /// Longest label value.
    pub label_value_bytes_max: usize,
    /// Most bytes in names and values of an exemplar's labels.
    pub exemplar_label_bytes_max: usize,
    /// Samples a tenant may send per second; `None`: as many as it likes.
    pub samples_per_second: Option<f64>,
    /// Samples a tenant may send at once after a pause; at least one second's worth.
    pub samples_burst: f64,
    /// Bytes that remember the references of known series, all tenants together.
    pub lane_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_bytes_max: 32 << 20,
            decoded_bytes_max: 32 << 20,
            inflight_bytes_max: 512 << 20,
            labels_per_series_max: 128,
            label_name_bytes_max: 1 << 10,
            label_value_bytes_max: 16 << 10,
            exemplar_label_bytes_max: 4 << 10,
            samples_per_second: None,
            samples_burst: 0.0,
            lane_bytes_max: 512 << 20,
        }
    }
}
