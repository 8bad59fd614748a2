// Istio's validation of DestinationRules, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { destinationRule } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{host: reviews}": "",
  "{}": "E host",
  '{host: ""}': "E host",
  '{host: "foo.*.com"}': "E host",
  '{host: "*.foo.com"}': "",
  '{host: "*"}': "",
  "{host: reviews, trafficPolicy: {}}": "E trafficPolicy",
  "{host: reviews, trafficPolicy: {connectionPool: {}}}": "E trafficPolicy.connectionPool",
  '{host: reviews, subsets: [{name: "", labels: {a: b}}]}': "E subsets[0]",
  "{host: reviews, subsets: [{labels: {a: b}}]}": "E subsets[0]",
  "{host: reviews, subsets: [{name: v1},{name: v1}]}": "E subsets[1].name",
  '{host: reviews, subsets: [{name: "v.1"}]}': "E subsets[0].name",
  '{host: reviews, subsets: [{name: "v_1"}]}': "E subsets[0].name",
  '{host: reviews, subsets: [{name: "V1"}]}': "",
  "{host: reviews, subsets: [null]}": "E subsets[0]",
  '{host: reviews, subsets: [{name: v1, labels: {"a b": c}}]}': "E subsets[0].labels",
  "{host: reviews, subsets: [{name: v1, trafficPolicy: {}}]}": "E subsets[0].trafficPolicy",
  "{host: reviews, subsets: [{name: v1}]}": "",
  '{host: reviews, exportTo: ["."]}': "",
  '{host: reviews, exportTo: ["~"]}': "E exportTo[0]",
  '{host: reviews, exportTo: ["*", "."]}': "E exportTo",
  "{host: reviews, workloadSelector: {matchLabels: {a: b}}}": "",
  '{host: reviews, workloadSelector: {matchLabels: {a: b}}, exportTo: ["."]}': "",
  '{host: reviews, workloadSelector: {matchLabels: {a: b}}, exportTo: ["foo"]}': "E exportTo",
  '{host: reviews, workloadSelector: {matchLabels: {a: b}}, exportTo: ["bar"]}': "E exportTo",
  '{host: reviews, workloadSelector: {matchLabels: {a: b}}, exportTo: ["*"]}': "E exportTo",
  '{host: reviews, workloadSelector: {matchLabels: {a: b}}, exportTo: [".", "bar"]}': "E exportTo",
  "{host: reviews, workloadSelector: {matchLabels: {}}}": "W workloadSelector",
  "{host: reviews, trafficPolicy: {tunnel: {targetHost: a.com, targetPort: 80}, proxyProtocol: {version: V1}}}":
    "E trafficPolicy.proxyProtocol",
  "{host: reviews, trafficPolicy: {proxyProtocol: {version: V2}}}": "",
  "{host: reviews, trafficPolicy: {proxyProtocol: {version: V3}}}": "E trafficPolicy.proxyProtocol.version",
  "{host: reviews, trafficPolicy: {tunnel: {targetHost: a.com, targetPort: 80}}}": "",
  "{host: reviews, trafficPolicy: {tunnel: {protocol: POST, targetHost: 1.2.3.4, targetPort: 80}}}": "",
  "{host: reviews, trafficPolicy: {tunnel: {protocol: GET, targetHost: a.com, targetPort: 80}}}":
    "E trafficPolicy.tunnel.protocol",
  '{host: reviews, trafficPolicy: {tunnel: {targetHost: "*.com", targetPort: 80}}}':
    "E trafficPolicy.tunnel.targetHost",
  '{host: reviews, trafficPolicy: {tunnel: {targetHost: "a.com", targetPort: 0}}}': "E trafficPolicy.tunnel.targetPort",
  "{host: reviews, trafficPolicy: {tunnel: {targetPort: 80}}}": "E trafficPolicy.tunnel.targetHost",
  "{host: reviews, trafficPolicy: {outlierDetection: {consecutiveErrors: 5}}}":
    "W trafficPolicy.outlierDetection.consecutiveErrors",
  "{host: reviews, trafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 5}}}":
    "E trafficPolicy.outlierDetection.consecutiveLocalOriginFailures",
  "{host: reviews, trafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 5, splitExternalLocalOriginErrors: true}}}":
    "",
  '{host: reviews, trafficPolicy: {outlierDetection: {interval: "0s"}}}': "E trafficPolicy.outlierDetection.interval",
  '{host: reviews, trafficPolicy: {outlierDetection: {interval: "1us"}}}': "E trafficPolicy.outlierDetection.interval",
  '{host: reviews, trafficPolicy: {outlierDetection: {baseEjectionTime: "0s"}}}':
    "E trafficPolicy.outlierDetection.baseEjectionTime",
  '{host: reviews, trafficPolicy: {outlierDetection: {baseEjectionTime: "1.5ms"}}}':
    "E trafficPolicy.outlierDetection.baseEjectionTime",
  "{host: reviews, trafficPolicy: {outlierDetection: {maxEjectionPercent: 105}}}":
    "E trafficPolicy.outlierDetection.maxEjectionPercent",
  "{host: reviews, trafficPolicy: {outlierDetection: {maxEjectionPercent: -1}}}":
    "E trafficPolicy.outlierDetection.maxEjectionPercent",
  "{host: reviews, trafficPolicy: {outlierDetection: {minHealthPercent: 105}}}":
    "E trafficPolicy.outlierDetection.minHealthPercent",
  "{host: reviews, trafficPolicy: {outlierDetection: {}}}": "",
  "{host: reviews, trafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}}":
    "E trafficPolicy.connectionPool.tcp.maxConnections",
  '{host: reviews, trafficPolicy: {connectionPool: {tcp: {connectTimeout: "0s"}}}}':
    "E trafficPolicy.connectionPool.tcp.connectTimeout",
  '{host: reviews, trafficPolicy: {connectionPool: {tcp: {idleTimeout: "0s"}}}}': "",
  '{host: reviews, trafficPolicy: {connectionPool: {tcp: {maxConnectionDuration: "0s"}}}}':
    "E trafficPolicy.connectionPool.tcp.maxConnectionDuration",
  '{host: reviews, trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {time: "0s"}}}}}':
    "E trafficPolicy.connectionPool.tcp.tcpKeepalive.time",
  '{host: reviews, trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {interval: "0.1ms"}}}}}':
    "E trafficPolicy.connectionPool.tcp.tcpKeepalive.interval",
  "{host: reviews, trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}}}}}":
    "",
  "{host: reviews, trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: -1}}}}":
    "E trafficPolicy.connectionPool.http.http1MaxPendingRequests",
  "{host: reviews, trafficPolicy: {connectionPool: {http: {http2MaxRequests: -1}}}}":
    "E trafficPolicy.connectionPool.http.http2MaxRequests",
  "{host: reviews, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: -1}}}}":
    "E trafficPolicy.connectionPool.http.maxRequestsPerConnection",
  "{host: reviews, trafficPolicy: {connectionPool: {http: {maxRetries: -1}}}}":
    "E trafficPolicy.connectionPool.http.maxRetries",
  "{host: reviews, trafficPolicy: {connectionPool: {http: {maxConcurrentStreams: -1}}}}":
    "E trafficPolicy.connectionPool.http.maxConcurrentStreams",
  '{host: reviews, trafficPolicy: {connectionPool: {http: {idleTimeout: "0s"}}}}':
    "E trafficPolicy.connectionPool.http.idleTimeout",
  "{host: reviews, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}}}":
    "E trafficPolicy.connectionPool.http.h2UpgradePolicy",
  "{host: reviews, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE, useClientProtocol: true}}}}":
    "",
  "{host: reviews, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}": "",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: a}}}}": "",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: a, minimumRingSize: 1024}}}}":
    "W trafficPolicy.loadBalancer.consistentHash.minimumRingSize",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: a, minimumRingSize: 1024, ringHash: {minimumRingSize: 5}}}}}":
    "E trafficPolicy.loadBalancer.consistentHash.minimumRingSize",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {ttl: 1s}}}}}":
    "E trafficPolicy.loadBalancer.consistentHash.httpCookie",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: a}}}}}": "",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: a, ttl: 0s, path: /}}}}}": "",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1033}}}}}":
    "",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1000}}}}}":
    "E trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 5000011}}}}}":
    "E trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}}}":
    "E trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
  "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: a}}}}":
    "E trafficPolicy.loadBalancer.consistentHash",
  '{host: reviews, trafficPolicy: {loadBalancer: {simple: RANDOM, warmupDurationSecs: "0s"}}}': "",
  '{host: reviews, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, warmupDurationSecs: "10s"}}}': "",
  "{host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: a/b/c, to: {a/b/c: 80}}]}}}}":
    "E trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to",
  "{host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: a/b/c, to: {a/b/c: 80, a/b1: 20}}]}}}}":
    "",
  "{host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: a/b/*, to: {a/b/c: 80, a/b1: 20}},{from: a/b/*, to: {a/b/c: 80, a/b1: 20}}]}}}}":
    "E trafficPolicy.loadBalancer.localityLbSetting.distribute[1].from",
  "{host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: a/*/c, to: {a/b/c: 100}}]}}}}":
    "E trafficPolicy.loadBalancer.localityLbSetting.distribute[0]",
  "{host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: a//c, to: {a/b/c: 100}}]}}}}":
    "E trafficPolicy.loadBalancer.localityLbSetting.distribute[0]",
  "{host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a/*: 50, a/b: 50}}]}}}}":
    "E trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to",
  "{host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100, b: 0}}]}}}}":
    "E trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to",
  "{host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}}":
    "W trafficPolicy.loadBalancer.localityLbSetting.failover",
  "{host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}}":
    "",
  "{host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {failoverPriority: [a]}}}}":
    "W trafficPolicy.loadBalancer.localityLbSetting.failoverPriority",
  "{host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}}}":
    "E trafficPolicy.loadBalancer.localityLbSetting.failover[0]",
  "{host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a/b, to: c}]}}}}":
    "E trafficPolicy.loadBalancer.localityLbSetting.failover[0]",
  '{host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: "*", to: c}]}}}}':
    "E trafficPolicy.loadBalancer.localityLbSetting.failover[0]",
  '{host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: ["topology.kubernetes.io/region"]}}}}':
    "E trafficPolicy.loadBalancer.localityLbSetting.failoverPriority[0]",
  '{host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: ["topology.istio.io/network"]}}}}':
    "",
  "{host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100}}], failover: [{from: a, to: b}]}}}}":
    "E trafficPolicy.loadBalancer.localityLbSetting",
  "{host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100}}], failoverPriority: [x]}}}}":
    "W trafficPolicy.loadBalancer.localityLbSetting.failoverPriority",
  "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE}}}": "",
  "{host: reviews, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}": "",
  "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE, credentialName: a}}}": "",
  "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE, credentialName: a, caCertificates: b}}}":
    "E trafficPolicy.tls.credentialName",
  "{host: reviews, trafficPolicy: {tls: {mode: MUTUAL, credentialName: a, clientCertificate: b}}}":
    "E trafficPolicy.tls.credentialName",
  "{host: reviews, trafficPolicy: {tls: {mode: MUTUAL, credentialName: a, privateKey: b}}}":
    "E trafficPolicy.tls.credentialName",
  "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE, credentialName: a, caCrl: b}}}":
    "E trafficPolicy.tls.credentialName",
  "{host: reviews, trafficPolicy: {tls: {mode: MUTUAL}}}": "E trafficPolicy.tls",
  "{host: reviews, trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: a}}}": "E trafficPolicy.tls",
  "{host: reviews, trafficPolicy: {tls: {mode: MUTUAL, privateKey: a}}}": "E trafficPolicy.tls",
  "{host: reviews, trafficPolicy: {tls: {mode: MUTUAL, privateKey: a, clientCertificate: b}}}": "",
  "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: a}}}":
    "E trafficPolicy.tls.caCertificates",
  "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true, credentialName: a}}}":
    "E trafficPolicy.tls.credentialName",
  "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}}}":
    "E trafficPolicy.tls.subjectAltNames",
  "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}}": "",
  "{host: reviews, trafficPolicy: {tls: {mode: MUTUAL, insecureSkipVerify: true, credentialName: a}}}": "",
  "{host: reviews, trafficPolicy: {tls: {mode: MUTUAL, insecureSkipVerify: true, clientCertificate: a, privateKey: b, caCertificates: c}}}":
    "E trafficPolicy.tls.caCertificates",
  "{host: reviews, trafficPolicy: {tls: {mode: MUTUAL, insecureSkipVerify: true, clientCertificate: a, privateKey: b, subjectAltNames: [c]}}}":
    "E trafficPolicy.tls.subjectAltNames",
  "{host: reviews, trafficPolicy: {portLevelSettings: [{}]}}":
    "E trafficPolicy.portLevelSettings[0].port, E trafficPolicy.portLevelSettings[0]",
  "{host: reviews, trafficPolicy: {portLevelSettings: [{port: {number: 80}}]}}": "E trafficPolicy.portLevelSettings[0]",
  "{host: reviews, trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}}": "",
  "{host: reviews, trafficPolicy: {portLevelSettings: [{loadBalancer: {simple: RANDOM}}]}}":
    "E trafficPolicy.portLevelSettings[0].port",
  "{host: reviews, trafficPolicy: {portLevelSettings: [null]}}": "E trafficPolicy.portLevelSettings[0]",
  "{host: reviews, trafficPolicy: {retryBudget: {percent: 20}}}": "",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(destinationRule, rows);
});
