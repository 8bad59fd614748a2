// The container that prepares traffic capture: `istio-init` writes the rules; where a CNI plugin wrote them already,
// `istio-validation` only proves that they work.
import { annotationName, splitList } from "../annotations.ts";
import { type Container, initContainerName, podAnnotations, validationContainerName } from "../pod.ts";
import { interceptionMode } from "./environment.ts";
import { proxyResources } from "./resources.ts";
import { setting, type TemplateInput } from "./template-input.ts";

export function captureContainer(input: TemplateInput): Container {
  const { values } = input;
  return {
    name: values.cniEnabled ? validationContainerName : initContainerName,
    image: input.image,
    ...(values.imagePullPolicy !== "" && { imagePullPolicy: values.imagePullPolicy }),
    args: captureArguments(input),
    ...(input.proxyConfig.metadata.length > 0 && {
      env: input.proxyConfig.metadata.map(([name, value]) => ({ name, value })),
    }),
    resources: proxyResources(input),
    securityContext: values.cniEnabled
      ? {
          allowPrivilegeEscalation: values.proxy.privileged,
          privileged: values.proxy.privileged,
          capabilities: { drop: ["ALL"] },
          readOnlyRootFilesystem: true,
          runAsGroup: input.proxyGid,
          runAsUser: input.proxyUid,
          runAsNonRoot: true,
        }
      : {
          allowPrivilegeEscalation: values.proxy.privileged,
          privileged: values.proxy.privileged,
          capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] },
          readOnlyRootFilesystem: false,
          runAsGroup: 0,
          runAsNonRoot: false,
          runAsUser: 0,
        },
  };
}

function captureArguments(input: TemplateInput): string[] {
  const { values } = input;
  const { proxy } = values;
  const annotations = podAnnotations(input.pod);
  const excludedInbound = excludedInboundPorts(input);
  const args = [
    "istio-iptables",
    "-p",
    input.proxyListenPort,
    "-z",
    input.proxyInboundListenPort,
    "-u",
    String(input.proxyUid),
    "-m",
    interceptionMode(input),
    "-i",
    setting(input, annotationName.includeOutboundIpRanges, proxy.includeIpRanges),
    "-x",
    setting(input, annotationName.excludeOutboundIpRanges, proxy.excludeIpRanges),
    "-b",
    setting(input, annotationName.includeInboundPorts, proxy.includeInboundPorts),
    "-d",
    excludedInbound === "" ? "15090,15021" : `15090,15021,${excludedInbound}`,
  ];
  const option = (flag: string, value: string): void => {
    if (value !== "") args.push(flag, value);
  };
  option("-q", setting(input, annotationName.includeOutboundPorts, proxy.includeOutboundPorts));
  option("-o", setting(input, annotationName.excludeOutboundPorts, proxy.excludeOutboundPorts));
  option(
    "-k",
    annotations[annotationName.rerouteVirtualInterfaces] ?? annotations[annotationName.kubevirtInterfaces] ?? "",
  );
  option("-c", annotations[annotationName.excludeInterfaces] ?? "");
  args.push(`--log_output_level=${setting(input, annotationName.agentLogLevel, values.agentLogLevel)}`);
  if (values.logAsJson) args.push("--log_as_json");
  if (values.cniEnabled) args.push("--run-validation", "--skip-rule-apply");
  else if (values.forceApplyIptables) args.push("--force-apply");
  if (values.nativeNftables) args.push("--native-nftables");
  return args;
}

/** The status port is never captured. */
function excludedInboundPorts(input: TemplateInput): string {
  const statusPort = setting(input, annotationName.statusPort, input.values.proxy.statusPort);
  const excluded = splitList(
    setting(input, annotationName.excludeInboundPorts, input.values.proxy.excludeInboundPorts),
  );
  if (statusPort !== "0" && statusPort !== "" && !excluded.includes(statusPort)) excluded.push(statusPort);
  return excluded.join(",");
}

/** What a CNI plugin reads instead of the init container's arguments. */
export function cniAnnotations(input: TemplateInput): Record<string, string> {
  const { proxy } = input.values;
  const annotations = podAnnotations(input.pod);
  const result: Record<string, string> = {
    [annotationName.interceptionMode]: interceptionMode(input),
    [annotationName.excludeInboundPorts]: excludedInboundPorts(input),
  };
  const add = (name: string, value: string): void => {
    if (value !== "") result[name] = value;
  };
  add(
    annotationName.includeOutboundIpRanges,
    setting(input, annotationName.includeOutboundIpRanges, proxy.includeIpRanges),
  );
  add(
    annotationName.excludeOutboundIpRanges,
    setting(input, annotationName.excludeOutboundIpRanges, proxy.excludeIpRanges),
  );
  add(
    annotationName.includeInboundPorts,
    setting(input, annotationName.includeInboundPorts, proxy.includeInboundPorts),
  );
  add(
    annotationName.includeOutboundPorts,
    setting(input, annotationName.includeOutboundPorts, proxy.includeOutboundPorts),
  );
  add(
    annotationName.excludeOutboundPorts,
    setting(input, annotationName.excludeOutboundPorts, proxy.excludeOutboundPorts),
  );
  if (input.values.cniProvider === "multus") {
    add(multusNetworks, appendMultusNetwork(annotations[multusNetworks] ?? "", "default/istio-cni"));
  }
  return result;
}

const multusNetworks = "k8s.v1.cni.cncf.io/networks";

/** Adds a network to Multus' list, which is either names with commas or JSON. */
function appendMultusNetwork(existing: string, network: string): string {
  if (existing === "") return network;
  const [namespace, name] = network.split("/");
  if (!existing.trimStart().startsWith("[")) {
    return splitList(existing).includes(network) ? existing : `${existing}, ${network}`;
  }
  const end = existing.lastIndexOf("]");
  const item = `{"name": "${name ?? ""}", "namespace": "${namespace ?? ""}"}`;
  return existing.includes(`"${name ?? ""}"`) || end === -1
    ? existing
    : `${existing.slice(0, end).trimEnd()}, ${item}${existing.slice(end)}`;
}
