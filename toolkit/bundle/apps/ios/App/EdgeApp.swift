import EdgeModel
import SwiftUI

@main
struct EdgeApp: App {
    var body: some Scene {
        WindowGroup { ContentView() }
    }
}

/// Takes a text or JSON, and shows the result, how long it took, and where it ran.
struct ContentView: View {
    @State private var input = ""
    @State private var output = ""
    @State private var provider = Provider.coreML
    @State private var isBusy = false
    private let models = Models()

    var body: some View {
        VStack(alignment: .leading, spacing: 16) {
            TextEditor(text: $input).frame(maxHeight: 160).border(.secondary)
            Picker("Provider", selection: $provider) {
                ForEach(Provider.allCases, id: \.self) { Text($0.rawValue) }
            }
            .pickerStyle(.segmented)
            HStack {
                Button("Run") { inBackground { try await models.answer(input, provider) } }
                Button("Self-test") { inBackground { try await models.selfTest(provider) } }
                if isBusy { ProgressView() }
            }
            .buttonStyle(.borderedProminent)
            .disabled(isBusy)
            ScrollView {
                Text(output).textSelection(.enabled).frame(maxWidth: .infinity, alignment: .leading)
            }
        }
        .padding()
        .task { input = (try? await models.example(provider)) ?? "" }
    }

    private func inBackground(_ work: @escaping () async throws -> String) {
        isBusy = true
        Task {
            do {
                output = try await work()
            } catch {
                output = error.localizedDescription // whatever went wrong is shown, not hidden
            }
            isBusy = false
        }
    }
}

/// The open models, one a provider, away from the main thread.
actor Models {
    private var opened: [Provider: Model] = [:]

    func answer(_ written: String, _ provider: Provider) throws -> String {
        let model = try open(provider)
        let answer = try model.answer(item(written, model))
        let time = String(format: "%.2f ms", answer.milliseconds)
        return "\(answer.result.pretty)\n\(time)\n\(answer.ranOn)"
    }

    func selfTest(_ provider: Provider) throws -> String {
        try SelfTest.run(try open(provider)).summary
    }

    /// The first reference item, as a user would write it.
    func example(_ provider: Provider) throws -> String {
        let item = try open(provider).document.self_test.cases[0].item
        if case .string(let text)? = item { return text }
        return item?.pretty ?? ""
    }

    private func open(_ provider: Provider) throws -> Model {
        if let model = opened[provider] { return model }
        guard let folder = Bundle.main.url(forResource: "model", withExtension: nil) else {
            throw CocoaError(.fileNoSuchFile)
        }
        let model = try Model(folder: folder, options: Options(provider: provider))
        opened[provider] = model
        return model
    }

    /// A text as it is; pairs of texts, rows and tensors as JSON.
    private func item(_ written: String, _ model: Model) throws -> JSON {
        if case .string? = model.document.self_test.cases[0].item { return .string(written) }
        return try JSONDecoder().decode(JSON.self, from: Data(written.utf8))
    }
}
