import Foundation
import OnnxRuntimeBindings

/// Where the graph is asked to run; what a provider does not take runs on the CPU.
public enum Provider: String, CaseIterable {
    case cpu = "CPU"
    case xnnpack = "XNNPACK"
    case coreML = "CoreML"
}

/// Core ML's compute units, in the words of ONNX Runtime's options.
public enum ComputeUnits: String {
    case all = "ALL"
    case neuralEngine = "CPUAndNeuralEngine"
    case gpu = "CPUAndGPU"
    case cpu = "CPUOnly"
}

/// How a session is made; `threads` are the CPU's or XNNPACK's, and 0 lets ONNX Runtime choose.
public struct Options {
    public var provider: Provider
    public var units: ComputeUnits
    public var threads: Int
    /// Whether it is an error that something else than the provider runs any node.
    public var isStrict: Bool

    public init(
        provider: Provider = .coreML, units: ComputeUnits = .all, threads: Int = 0,
        isStrict: Bool = false
    ) {
        self.provider = provider
        self.units = units
        self.threads = threads
        self.isStrict = isStrict
    }
}

/// An answer, how long the graph took for it, and where it ran.
public struct Answer {
    public let result: JSON
    public let milliseconds: Double
    public let ranOn: String
}

/// The model with its pre- and post-processing. Opening takes a while, above all the first time with
/// Core ML, which compiles: open it once, away from the main thread.
public final class Model: @unchecked Sendable { // ONNX Runtime's sessions run in several threads
    public let document: Document
    /// In words for people: who runs the graph, and why not what was asked for.
    public let ranOn: String
    /// Why the provider that was asked for runs nothing; nil where it runs some of the graph.
    public let fallback: String?
    let folder: URL
    private let session: ORTSession

    private static let environment: Result<ORTEnv, Error> = Result {
        setenv("ORT_DISABLE_TELEMETRY", "1", 1) // read when the environment is made
        return try ORTEnv(loggingLevel: .warning)
    }

    /// Opens the model in a folder `model/`.
    ///
    /// - Parameter graph: Another file of it, such as the `.ort` file for a reduced build.
    public init(folder: URL, options: Options = Options(), graph: String? = nil) throws {
        self.folder = folder
        let json = try Data(contentsOf: folder.appendingPathComponent("model.json"))
        let document = try JSONDecoder().decode(Document.self, from: json)
        let opening = Opening(
            document: document, path: folder.appendingPathComponent(graph ?? document.graph).path,
            environment: try Self.environment.get())
        let opened: (session: ORTSession, ranOn: String)
        var why: String?
        do {
            opened = try opening.session(options)
        } catch {
            guard options.provider != .cpu, !options.isStrict else { throw error }
            why = error.localizedDescription
            opened = try opening.session(Options(provider: .cpu, threads: options.threads))
        }
        self.document = document
        session = opened.session
        fallback = why
        let instead = why.map { "; not on \(options.provider.rawValue): \($0)" } ?? ""
        ranOn = opened.ranOn + instead
    }

    /// The result for an item; see `Document.encode`.
    public func answer(_ item: JSON) throws -> Answer {
        let feeds = try document.encode(item)
        let start = DispatchTime.now().uptimeNanoseconds
        let outputs = try run(feeds)
        let milliseconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6
        return Answer(
            result: document.decode(outputs, feeds), milliseconds: milliseconds, ranOn: ranOn)
    }

    /// Outputs by name.
    public func run(_ feeds: [String: Tensor]) throws -> [String: Tensor] {
        let values = try feeds.mapValues { try $0.asValue() }
        let names = Set(document.outputs.map(\.name))
        let answers = try session.run(withInputs: values, outputNames: names, runOptions: nil)
        return try Dictionary(uniqueKeysWithValues: document.outputs.map { spec in
            guard let value = answers[spec.name] else { throw EdgeError("no output \(spec.name)") }
            let shape = try value.tensorTypeAndShapeInfo().shape.map(\.intValue)
            let data = Data(referencing: try value.tensorData())
            return (spec.name, Tensor(dtype: spec.dtype, shape: shape, data: Data(Array(data))))
        })
    }
}

/// Makes sessions of one graph.
private struct Opening {
    let document: Document
    let path: String
    let environment: ORTEnv

    /// A session, and where it runs in words.
    func session(_ options: Options) throws -> (session: ORTSession, ranOn: String) {
        let settings = try ORTSessionOptions()
        for (key, value) in document.session_options {
            try settings.addConfigEntry(withKey: key, value: value)
        }
        if options.isStrict, options.provider != .cpu {
            try settings.addConfigEntry(withKey: "session.disable_cpu_ep_fallback", value: "1")
        }
        switch options.provider {
        case .cpu:
            try settings.setIntraOpNumThreads(Int32(options.threads))
            return (try open(settings), "CPU")
        case .xnnpack:
            let cores = ProcessInfo.processInfo.activeProcessorCount
            let threads = options.threads > 0 ? options.threads : cores
            try settings.appendExecutionProvider(
                "XNNPACK", providerOptions: ["intra_op_num_threads": String(threads)])
            // XNNPACK has threads of its own, which must not compete with ONNX Runtime's.
            try settings.setIntraOpNumThreads(1)
            try settings.addConfigEntry(withKey: "session.intra_op.allow_spinning", value: "0")
            return (try open(settings), "XNNPACK, the CPU what it does not take")
        case .coreML:
            return try onCoreML(settings, options)
        }
    }

    private func open(_ settings: ORTSessionOptions) throws -> ORTSession {
        try ORTSession(env: environment, modelPath: path, sessionOptions: settings)
    }

    private func onCoreML(
        _ settings: ORTSessionOptions, _ options: Options
    ) throws -> (session: ORTSession, ranOn: String) {
        #if targetEnvironment(simulator)
        throw EdgeError("the simulator has no Neural Engine, and its Core ML is no measure")
        #else
        // Core ML's copies of the graph are kept by the graph's hash: it does not notice changes.
        let caches = try FileManager.default.url(
            for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        let hash = document.files[document.graph] ?? ""
        let cache = caches.appendingPathComponent("edge-\(hash)-\(options.units.rawValue)")
        try FileManager.default.createDirectory(at: cache, withIntermediateDirectories: true)
        try settings.appendCoreMLExecutionProvider(withOptionsV2: [
            "ModelFormat": "MLProgram",
            "MLComputeUnits": options.units.rawValue,
            "RequireStaticInputShapes": "1",
            "ModelCacheDirectory": cache.path,
        ])
        try settings.setIntraOpNumThreads(Int32(options.threads))
        let session = try open(settings)
        let count = try pieces(in: cache)
        guard count > 0 else { throw EdgeError("Core ML takes no node of this graph") }
        return (session, "Core ML (\(options.units.rawValue), \(count) pieces), the CPU the rest")
        #endif
    }

    /// How many pieces of the graph Core ML has: ONNX Runtime keeps each in a folder of its own,
    /// below one for the model.
    private func pieces(in cache: URL) throws -> Int {
        let files = FileManager.default
        return try files.contentsOfDirectory(at: cache, includingPropertiesForKeys: nil)
            .map { (try? files.contentsOfDirectory(atPath: $0.path).count) ?? 0 }
            .reduce(0, +)
    }
}

extension Tensor {
    fileprivate func asValue() throws -> ORTValue {
        let types: [String: ORTTensorElementDataType] = [
            "float32": .float, "int8": .int8, "uint8": .uInt8, "int32": .int32,
            "uint32": .uInt32, "int64": .int64, "uint64": .uInt64,
        ]
        guard let type = types[dtype] else { throw EdgeError("no tensors of \(dtype)") }
        return try ORTValue(
            tensorData: NSMutableData(data: data), elementType: type,
            shape: shape.map { NSNumber(value: $0) })
    }
}
