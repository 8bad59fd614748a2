// Istio's ClusterTrustBundle: istiod writes the mesh's roots there, and injected pods project it.

export const trustBundleName = "istio.io:istiod-ca:root-cert";
