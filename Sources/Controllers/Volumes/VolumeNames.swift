/// The annotations and finalizers by which the parts that make, bind and free volumes talk to each other.
enum VolumeNames {
    static let bindCompleted = "pv.kubernetes.io/bind-completed"
    static let boundByController = "pv.kubernetes.io/bound-by-controller"
    static let provisionedBy = "pv.kubernetes.io/provisioned-by"
    static let selectedNode = "volume.kubernetes.io/selected-node"
    static let provisioner = "volume.kubernetes.io/storage-provisioner"
    static let betaProvisioner = "volume.beta.kubernetes.io/storage-provisioner"
    static let betaClass = "volume.beta.kubernetes.io/storage-class"
    static let defaultClass = "storageclass.kubernetes.io/is-default-class"
    static let betaDefaultClass = "storageclass.beta.kubernetes.io/is-default-class"
    static let claimProtection = "kubernetes.io/pvc-protection"
    static let volumeProtection = "kubernetes.io/pv-protection"
    /// Keeps a made volume until what lies under it is gone.
    static let provisionerFinalizer = "external-provisioner.volume.kubernetes.io/finalizer"
    /// A class whose volumes are made by people.
    static let noProvisioner = "kubernetes.io/no-provisioner"
}
