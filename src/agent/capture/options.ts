// Settings of traffic capture, as `istio-iptables` names them, and what the machine adds to them.

export interface CaptureOptions {
  readonly proxyPort: string;
  readonly inboundCapturePort: string;
  readonly inboundTunnelPort: string;
  /** Users and groups whose traffic is the proxy's own. */
  readonly proxyUids: readonly string[];
  readonly proxyGids: readonly string[];
  readonly inboundMode: "REDIRECT" | "TPROXY";
  readonly tproxyMark: string;
  readonly tproxyRouteTable: string;
  /** Empty: nothing; `["*"]`: all. */
  readonly inboundPortsInclude: readonly string[];
  readonly inboundPortsExclude: readonly string[];
  readonly ownerGroupsInclude: readonly string[];
  readonly ownerGroupsExclude: readonly string[];
  readonly outboundPortsInclude: readonly string[];
  readonly outboundPortsExclude: readonly string[];
  /** Address ranges, or `["*"]`. */
  readonly outboundRangesInclude: readonly string[];
  readonly outboundRangesExclude: readonly string[];
  /** Interfaces of virtual machines: what comes in there counts as outbound. */
  readonly virtualInterfaces: readonly string[];
  readonly excludeInterfaces: readonly string[];
  readonly redirectDns: boolean;
  readonly captureAllDns: boolean;
  readonly dropInvalid: boolean;
  readonly loopbackCidr: string;
}

export interface InitOptions {
  readonly capture: CaptureOptions;
  readonly dryRun: boolean;
  readonly cleanupOnly: boolean;
  readonly skipRuleApply: boolean;
  readonly runValidation: boolean;
  readonly probePort: number;
  readonly probeTimeoutMs: number;
  readonly dualStack: boolean;
  /** `legacy` or `nft` picks that variant's binaries; empty takes the system's default. */
  readonly iptablesVariant: string;
  /** Path of another network namespace to work in. */
  readonly networkNamespace: string;
  readonly nativeNftables: boolean;
  readonly logLevel: string;
  readonly logAsJson: boolean;
}

/** What the machine says, apart from the options. */
export interface HostFacts {
  readonly ipv6: boolean;
  readonly dnsServersV4: readonly string[];
  readonly dnsServersV6: readonly string[];
}
