/** The release of Istio whose API and behaviour are followed: what proxies, the control plane and tools report. */
export const istioVersion = "1.31.0";
